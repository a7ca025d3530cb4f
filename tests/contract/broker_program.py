"""A program as a site would write one for `kind: command`: it keeps a whole broker in a JSON file. Python's own library is all it needs."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def begin(pool: str, names: Iterable[str]) -> dict[str, Any]:
    """The broker in the beginning."""
    rows = [
        {"name": name, "id": str(number), "user": None, "session": "none", "availability": "available", "agent": "up"}
        for number, name in enumerate(names)
    ]
    settings = {"image_name": "v1", "threshold": 2, "provisioning": True}
    return {
        "pool": pool,
        "desktops": rows,
        "settings": settings,
        "images": ["v1"],
        "cloud": ["v1", "v2"],
        "messages": [],
    }


def answer(state: dict[str, Any], told: dict[str, Any]) -> Any:
    """The answer to one question; `state` is changed. Ends the program where it says no."""
    question = told["question"]
    if told.get("pool", state["pool"]) != state["pool"]:
        sys.exit(f"there is no pool {told['pool']}")
    rows = [row for row in state["desktops"] if row["name"].lower() == told.get("desktop", {}).get("name", "").lower()]
    if question == "seats":
        return state["desktops"]
    if question == "health":
        return {"ok": True, "problems": []}
    if question == "settings":
        return state["settings"]
    if question == "registrations":
        return []
    if question == "set-provisioning":
        before, state["settings"]["provisioning"] = state["settings"]["provisioning"], told["on"]
        return {"before": before}
    if question == "set-pool-image":
        if told["image_name"] not in state["images"]:
            sys.exit(f"there is no image {told['image_name']}")
        state["settings"]["image_name"] = told["image_name"]
    elif question == "refresh":
        state["images"] = state["cloud"]
    elif not rows:
        sys.exit("there is no such desktop")
    else:
        change(state, told, rows)
    return None


def change(state: dict[str, Any], told: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """What is asked of one desktop."""
    question = told["question"]
    if question == "set-available":
        for row in rows:
            row["availability"] = "available" if told["available"] else "unavailable"
    elif question == "notify":
        if all(row["session"] != "active" for row in rows):
            sys.exit("nobody is there")
        state["messages"].append(told["text"])
    elif question == "release":
        for row in rows:
            row["user"] = None
    elif question == "forget":
        state["desktops"] = [row for row in state["desktops"] if row["id"] != told["id"]]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    kept = json.loads(place.read_text())
    given = answer(kept, json.load(sys.stdin))
    place.write_text(json.dumps(kept))
    if given is not None:
        print(json.dumps(given))
