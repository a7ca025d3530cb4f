"""Clear-Traces and Get-Traces: take away what a build leaves, and the proof that nothing is left."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.scripts.contract import Run, plays
from imagebuild.lab.guest.standin.scripts.trace_guards import check_parameters
from imagebuild.lab.guest.standin.scripts.trace_table import PARAMETERS, walk_table


@plays("Clear-Traces", *PARAMETERS)
def clear_traces(run: Run) -> dict[str, Any]:
    """Remove every row of the table."""
    check_parameters(run.guest, run.parameters)
    items = walk_table(run, run.parameters, keep=run.parameters.texts("keep"), only=[], remove=True)
    items = [item | {"removed": bool(item["found"]) and not item["left"]} for item in items]
    return {"items": items, "clean": not any(item["left"] for item in items)}


@plays("Get-Traces", *PARAMETERS)
def get_traces(run: Run) -> dict[str, Any]:
    """Look at every row of the table."""
    check_parameters(run.guest, run.parameters)
    items = walk_table(run, run.parameters, keep=run.parameters.texts("keep"), only=[], remove=False)
    items = [{name: value for name, value in item.items() if name != "left"} for item in items]
    secrets = [item["name"] for item in items if item["weight"] == "secret" and item["found"]]
    return {"items": items, "clean": not any(item["found"] for item in items), "secrets": secrets}
