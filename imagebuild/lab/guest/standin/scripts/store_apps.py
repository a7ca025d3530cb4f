"""Repair-Appx: the played Windows 7 has no Store, so that there is nothing to remove; packages that are named are absent."""

from __future__ import annotations

from typing import Any

from imagebuild.lab.guest.standin.scripts.contract import Run, plays


@plays("Repair-Appx", "packages", "rounds")
def repair_appx(run: Run) -> dict[str, Any]:
    """Nothing to repair."""
    limit = run.parameters.number("rounds", 3)
    removed = []
    for package in dict.fromkeys(run.parameters.texts("packages")):
        run.step(f"round 1 of {limit}: removing {package}")
        removed.append({"package": package, "ok": True, "hresult": None, "words": None, "already": True})
    return {"removed": removed, "left": [], "rounds": min(2 if removed else 1, limit)}
