"""What the contract of a broker runs against: the fake and every adapter, each with its own world of users, told in the same words.

Every world begins alike: the pool `staff` with desktop-1 to desktop-3, all free and available, made from `v1` and provisioned by itself;
`v2` is in the cloud and not yet known to the broker.
"""

import csv
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from imagebuild.adapters.command_broker import CommandBroker
from imagebuild.adapters.file_broker import FileBroker
from imagebuild.adapters.hook_programs import Programs
from imagebuild.adapters.marked_list import MarkedList
from imagebuild.adapters.no_broker import NoBroker
from imagebuild.broker import Cap
from imagebuild.broker_settings import Question
from tests.contract import broker_program
from tests.contract.broker_bench import DESKTOPS, POOL, Bench
from tests.contract.standin_broker import StandinBench
from tests.fakes.broker import FakeBroker
from tests.unit.leostream_wire import Leostream, desktop


class FakeBench(Bench):
    """tests.fakes.broker."""

    def __init__(self, _: Path) -> None:
        self.broker = self.world = FakeBroker()
        self.world.add_pool(POOL, *DESKTOPS, image="v1")
        self.world.cloud_images.add("v2")

    def put(self, name: str, user: str | None, session: str) -> None:
        """Through the doors that the fake has for users."""
        if user is None:
            self.world.log_out(name)
            return
        self.world.log_in(name, user)
        if session == "disconnected":
            self.world.disconnect(name)
        elif session == "none":
            self.world.record(name).session = "none"

    def duplicate(self, name: str) -> None:
        """As after a machine was made anew."""
        self.world.add(POOL, name.upper())


class LeostreamBench(Bench):
    """The REST adapter over a wire without sockets."""

    def __init__(self, _: Path) -> None:
        self.wire = Leostream()
        pool = self.wire.pools[7]
        pool["vms_list"] = [desktop(10 + number, name) for number, name in enumerate(DESKTOPS)]
        pool["pool_stats"] |= {"assigned_vm": 0, "total_logged_in": 0, "total_connected": 0}
        self.wire.center["images"] = [{"id": 41, "name": "v1"}]
        self.wire.cloud_images = [{"id": 42, "name": "v2"}]
        self.broker = self.wire.broker()

    def put(self, name: str, user: str | None, session: str) -> None:
        """It knows users by number; of sessions it tells sums only."""
        item = next(one for one in self.wire.pools[7]["vms_list"] if one["name"] == name)
        item["user_id"] = 0 if user is None else 5
        logged_in = int(session in ("active", "disconnected"))
        self.wire.pools[7]["pool_stats"] |= {"assigned_vm": int(user is not None), "total_logged_in": logged_in}

    def duplicate(self, name: str) -> None:
        """A second record in the same pool."""
        self.wire.pools[7]["vms_list"].append(desktop(99, name.upper()))


class FileBench(Bench):
    """A list in a file, and operators who read what we write."""

    def __init__(self, folder: Path) -> None:
        self.sessions, self.marked = folder / "sessions.csv", folder / "marked.csv"
        self.rows = [{"name": name, "user": "", "session": "none", "availability": "available"} for name in DESKTOPS]
        self.broker = FileBroker(self.sessions, marked=MarkedList(self.marked))
        self.write()

    def write(self) -> None:
        """Beside it, then in its place, as operators are told to."""
        part = self.sessions.with_suffix(".part")
        with part.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        part.replace(self.sessions)

    def put(self, name: str, user: str | None, session: str) -> None:
        """A line of the list."""
        next(row for row in self.rows if row["name"] == name).update(user=user or "", session=session)
        self.write()

    def duplicate(self, name: str) -> None:
        """A second line."""
        self.rows.append({"name": name.upper(), "user": "", "session": "none", "availability": "available"})
        self.write()

    def operate(self) -> None:
        """Mark what is on our list, and nothing else."""
        with self.marked.open(newline="") as stream:
            asked = {row["name"] for row in csv.DictReader(stream)}
        for row in self.rows:
            row["availability"] = "unavailable" if row["name"] in asked else "available"
        self.write()


class CommandBench(Bench):
    """A program that keeps its broker in a JSON file, asked for everything there is."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "broker.json"
        self.keep(broker_program.begin(POOL, DESKTOPS))
        program = [sys.executable, "-S", "-E", str(Path(broker_program.__file__)), str(self.state)]
        commands = dict.fromkeys(get_args(Question), program)
        self.broker = CommandBroker(Programs(commands, folder=folder, seconds=30))

    def keep(self, state: dict[str, Any]) -> None:
        """Write the broker's state."""
        self.state.write_text(json.dumps(state))

    def put(self, name: str, user: str | None, session: str) -> None:
        """In the file."""
        state = json.loads(self.state.read_text())
        next(row for row in state["desktops"] if row["name"] == name).update(user=user, session=session)
        self.keep(state)

    def duplicate(self, name: str) -> None:
        """In the file."""
        state = json.loads(self.state.read_text())
        state["desktops"].append({**state["desktops"][0], "name": name.upper(), "id": "99"})
        self.keep(state)


class IdleBench(Bench):
    """No broker, and a promise."""

    def __init__(self, _: Path) -> None:
        self.broker = NoBroker(assume_idle=True, now=lambda: datetime.now(UTC))

    def put(self, name: str, user: str | None, session: str) -> None:
        """Nobody hears of it."""

    def duplicate(self, name: str) -> None:
        """Nobody hears of it."""


BENCHES: dict[str, Callable[[Path], Bench]] = {
    "fake": FakeBench,
    "leostream": LeostreamBench,
    "stand-in": StandinBench,
    "file": FileBench,
    "command": CommandBench,
    "none": IdleBench,
}


def who_can(*caps: Cap) -> list[str]:
    """The benches whose broker is able to do all of this."""
    able = {
        "fake": frozenset(Cap),
        "leostream": frozenset({Cap.POOL_IMAGE, Cap.PROVISIONING, Cap.SCAN}),
        "stand-in": frozenset({Cap.POOL_IMAGE, Cap.PROVISIONING, Cap.SCAN, Cap.AVAILABILITY}),
        "file": frozenset({Cap.SESSIONS, Cap.AVAILABILITY}),
        "command": frozenset(Cap),
        "none": frozenset[Cap](),
    }
    return [name for name, has in able.items() if has >= set(caps)]
