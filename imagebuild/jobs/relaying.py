"""What a build in a process of its own says, told on line by line with its recipe's name before it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagebuild.report import Report


class Relay:
    """Tells on one build's JSON lines, and remembers the image that it says it has built and the error that it ended with."""

    def __init__(self, recipe: str, report: Report, *, width: int) -> None:
        self._recipe = recipe
        self._report = report
        self._prefix = f"{recipe:{width}s} | "
        self.image = ""
        self.error = ""

    def tell(self, line: str) -> None:
        """One line of the build's output; what is no JSON (a library's complaint) is told as it is."""
        event = _read(line)
        if event.get("event") == "result" and isinstance(event.get("image"), str):
            self.image = event["image"]
        if event.get("event") == "error":
            self.error = str(event.get("message"))
        text = "\n".join(self._prefix + one for one in _lines(event))
        if text:
            self._report.say(text, recipe=self._recipe, told=event)


def _read(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {"event": "text", "text": line}
    return event if isinstance(event, dict) else {"event": "text", "text": line}


def _lines(event: Mapping[str, Any]) -> Iterator[str]:
    """The event as the build itself would have shown it to a person."""
    text = str(event.get("text", ""))
    match event.get("event"):
        case "step_begun":
            yield str(event.get("title"))
        case "step_done":
            yield f"  done in {event.get('took_seconds')} s"
        case "step_failed":
            yield f"  failed after {event.get('took_seconds')} s"
        case "warning":
            yield f"  warning: {text}"
        case "note":
            yield f"  {text}"
        case "error":
            yield f"error: {event.get('message')}"
            yield from (f"  | {line}" for line in event.get("details", ())[-25:])
            yield from [f"  advice: {event['hint']}"] if event.get("hint") else []
            yield from (f"  {line}" for line in event.get("after", ()))
        case _ if text:
            yield text
