"""What happened to the lab's services, as JSON lines that people and `lab.status` read."""

import json
import time
from pathlib import Path


def record(path: Path, event: str, **facts: object) -> None:
    """Append one event with the time (UTC). Events are rare: the file is opened for each."""
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
