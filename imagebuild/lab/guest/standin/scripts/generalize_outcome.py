"""Get-GeneralizeOutcome: how far generalize got and, if it failed, why."""

from __future__ import annotations

import json
from typing import Any

from imagebuild.lab.guest.standin.model.edition import RESEALED
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.scripts.contract import Run, plays
from imagebuild.lab.guest.standin.scripts.generalize_log import find_reason, read_lines

FOLDER = WINDOWS + "\\Setup\\imagebuild"


@plays("Get-GeneralizeOutcome", "folder", "lines")
def get_generalize_outcome(run: Run) -> dict[str, Any]:
    """Phases, states, log lines and the reason of a failure."""
    guest = run.guest
    folder, count = run.parameters.text("folder", FOLDER), run.parameters.number("lines", 20)

    def text_of(name: str) -> str:
        return guest.files.read_text(f"{folder}\\{name}") if guest.files.exists(f"{folder}\\{name}") else ""

    state = guest.sysprep.state()
    history = [line for line in text_of("phase.txt").splitlines() if line]
    outcome = json.loads(text_of("outcome.json")) if text_of("outcome.json") else None
    lines = read_lines(guest, [int(size) for size in text_of("logs-before.txt").split()])
    reason = None
    if outcome is not None and (outcome["succeeded"] or outcome["reason"] is not None):
        reason = outcome["reason"]
    elif not state.running and state.image_state != RESEALED and any(line["level"] != "Warning" for line in lines):
        reason = find_reason(state.image_state, lines, timed_out=False)
    return state.as_json() | {
        "history": history,
        "phase": history[-1][21:] if history else "never started",
        "phase_since": history[-1][:20] if history else None,
        "outcome": outcome,
        "log_lines": lines[-count:],
        "exit_code": None if outcome is None else outcome["exit_code"],
        "reason": reason,
    }
