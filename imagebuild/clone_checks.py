"""What a desktop must be: a table of checks over what was seen of the clones. Functions from value to value, with words for a person."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from imagebuild.sighting import Sighting, Wanted

Outcome = Literal["passed", "failed", "not checked"]
ALL = "all clones"


@dataclass(frozen=True)
class Check:
    """One result. `clone`: its name, or ALL. `outside`: it failed through the cloud or the broker, which says nothing of the image."""

    name: str
    clone: str
    outcome: Outcome
    words: str
    seconds: float = 0.0
    outside: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """What a check found, before it is told of whom."""

    outcome: Outcome
    words: str
    seconds: float = 0.0
    outside: bool = False


Look = Callable[[Wanted, Sighting], Finding]


def judge(wanted: Wanted, seen: Sequence[Sighting]) -> tuple[Check, ...]:
    """Every check of every clone, then those of all together; by check, so that twins stand side by side."""
    checks = []
    for name, look in _LOOKS.items():
        for one in seen:
            found = look(wanted, one)
            checks.append(Check(name, one.name, found.outcome, found.words, round(found.seconds, 1), found.outside))
    twins = _no_twins(seen)
    return (*checks, Check("no-twins", ALL, twins.outcome, twins.words))


def _passed(words: str, seconds: float | None = None) -> Finding:
    return Finding("passed", words, seconds or 0.0)


def _failed(words: str) -> Finding:
    return Finding("failed", words)


def _not_reached() -> Finding:
    return Finding("not checked", "it was never reached")


def _when(holds: bool, good: str, bad: str) -> Finding:  # noqa: FBT001  the condition comes first, as in a sentence
    return _passed(good) if holds else _failed(bad)


def _active(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.active_seconds is None or seen.fault:
        return Finding("failed", seen.fault or "the cloud did not start it in time", outside=True)
    return _passed(f"at {', '.join(seen.addresses)} after {seen.active_seconds:.0f} s", seen.active_seconds)


def _certificate(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.active_seconds is None or (seen.certificate is None and seen.fault):
        return _not_reached()
    told = f"sha256 {(seen.certificate or '')[:16]}..."
    missing = (
        f"none was told on the serial console: {seen.trouble or 'user data did not run, or Windows did not start'}"
    )
    return _when(seen.certificate is not None, told, missing)


def _ready(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.certificate is None or (seen.ready_seconds is None and seen.fault):
        return _not_reached()
    if seen.ready_seconds is None:
        return _failed(f"Windows was never ready over WinRM: {seen.trouble or 'no answer in time'}")
    return _passed(f"Windows ready over WinRM after {seen.ready_seconds:.0f} s", seen.ready_seconds)


def _address(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.state is None:
        return _unseen(seen)
    cards = seen.state["addresses"]
    own = [ip for card in cards if card["dhcp"] for ip in card["ip"]]
    told = f"{', '.join(own) or 'no address'} by DHCP"
    return _when(bool(set(seen.addresses) & set(own)), told, f"{told}, and Neutron gave {', '.join(seen.addresses)}")


def _sid(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.state is None:
        return _unseen(seen)
    sid = seen.state["machine_sid"]
    if not sid:
        return _failed("Windows does not tell its machine SID")
    own = sid if wanted.builder_sid is None else f"{sid}, not the builder's"
    return _when(sid != wanted.builder_sid, own, f"{sid} is the builder's: it was not generalized")


def _name(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.state is None:
        return _unseen(seen)
    name = str(seen.state["computer_name"])
    return _when(name.upper() == seen.name.upper(), name, f"Windows is called {name}, the server {seen.name}")


def _stamp(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.state is None:
        return _unseen(seen)
    stamp = seen.state["stamp"] or {}
    if (stamp.get("recipe"), stamp.get("build")) != (wanted.recipe, wanted.build):
        told = " ".join(str(stamp[key]) for key in ("recipe", "build") if key in stamp)
        return _failed(f"its stamp says {told or 'nothing'}, the image {wanted.recipe} {wanted.build}")
    return _when(
        bool(seen.state["sealed"]), f"{wanted.build}, sealed", "the image was switched off before it was sealed"
    )


def _setup(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.state is None:
        return _unseen(seen)
    state, cloudbase = seen.state["image_state"], seen.state["cloudbase_init"]
    if state != "IMAGE_STATE_COMPLETE":
        return _failed(f"Windows setup is not finished: {state or 'no state'}")
    if cloudbase["service"] is None:
        return _passed("Windows setup is finished")
    service = cloudbase["service"]
    unfinished = f"Cloudbase-Init has not finished: its service is {service['state']}, start {service['start_mode']}"
    return _when(cloudbase["done"], "Windows setup and Cloudbase-Init are finished", unfinished)


def _desktop(wanted: Wanted, seen: Sighting) -> Finding:
    if not wanted.desktop:
        return Finding("not checked", "the recipe does not turn Remote Desktop on")
    if seen.state is None:
        return _unseen(seen)
    rdp = seen.state["rdp"]
    if not rdp["enabled"]:
        return _failed("Remote Desktop is off in Windows")
    if seen.desktop_seconds is None and seen.fault:
        return _not_reached()
    if seen.desktop_seconds is None:
        return _failed(f"Remote Desktop is on, and nobody answers on port {rdp['port']} from here")
    return _passed(f"Remote Desktop answers after {seen.desktop_seconds:.0f} s", seen.desktop_seconds)


def _drivers(wanted: Wanted, seen: Sighting) -> Finding:
    if wanted.disk_bus not in ("virtio", "scsi"):
        return Finding("not checked", f"the disk is on {wanted.disk_bus}, which Windows knows by itself")
    if seen.drivers is None:
        return _unseen(seen)
    if not seen.drivers["boot_ready"]:
        return _failed("; ".join(seen.drivers["reasons"]))
    devices = seen.drivers["devices"]
    bound = ", ".join(sorted({str(one["service"]) for one in devices if one["service"]}))
    # Not a failure: no desktop needs each of them (Windows 7 has no driver for a virtio graphics card, and shows its picture).
    without = ", ".join(one["id"].rsplit("&SUBSYS", 1)[0] for one in devices if one["problem"])
    return _passed(f"bound: {bound}" + (f"; without a driver: {without}" if without else ""))


def _pending(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.pending is None:
        return _unseen(seen)
    reasons = "; ".join(one["text"] for one in seen.pending["reasons"])
    return _when(not seen.pending["reboot_needed"], "no restart is pending", f"a restart is pending: {reasons}")


def _agent(wanted: Wanted, seen: Sighting) -> Finding:
    if wanted.agent is None:
        return Finding("not checked", "the recipe installs no broker's agent")
    if seen.agent is None:
        return _unseen(seen)
    if not seen.agent["installed"]:
        return _failed(f"there is no service {wanted.agent}")
    told = f"{wanted.agent} is {seen.agent['state']}, start {seen.agent['start_mode']}"
    return _when((seen.agent["state"], seen.agent["start_mode"]) == ("Running", "Auto"), told, told)


def _registration(wanted: Wanted, seen: Sighting) -> Finding:
    if not wanted.registers:
        return Finding("not checked", "the recipe has no broker's agent, or no verify.registrations")
    found = seen.registration
    if found is None and (seen.ready_seconds is None or seen.fault):
        return _not_reached()
    if found is None and seen.broker_trouble:
        return Finding("failed", seen.broker_trouble, outside=True)
    if found is None:
        return _failed("its agent has not registered with the broker")
    if found.address not in seen.addresses:
        return _failed(f"registered at {found.address}, and Neutron gave {', '.join(seen.addresses)}")
    return _passed(f"{found.name} at {found.address}", seen.registered_seconds)


def _traces(wanted: Wanted, seen: Sighting) -> Finding:
    if seen.traces is None:
        return _unseen(seen)
    found = [
        f"{item['name']} ({item['weight']}): {', '.join(item['found']) or item['words']}"
        for item in seen.traces["items"]
        if item["found"] or item["words"]
    ]
    return _when(not found, "nothing of the build is on its disk", "; ".join(found))


def _usable(wanted: Wanted, seen: Sighting) -> Finding:
    seconds = seen.usable_seconds(desktop=wanted.desktop)
    return _not_reached() if seconds is None else _passed(f"after {seconds:.0f} s", seconds)


def _unseen(seen: Sighting) -> Finding:
    """A clone that was ready and then could not be asked is not good; one never ready, or taken away, has failed for that already."""
    if seen.ready_seconds is None or seen.fault:
        return _not_reached()
    return _failed(f"it could not be asked: {seen.trouble or 'no answer in time'}")


def _no_twins(seen: Sequence[Sighting]) -> Finding:
    """No two clones share what must be each one's own. A shared WinRM certificate is the builder's key, left in the image."""
    reached = [one for one in seen if one.state is not None or one.certificate]
    if len(reached) < 2:
        return Finding("not checked", f"{len(reached)} of the clones could be compared")
    shared = [f"{kind} {value}" for kind, value in _owned_things(reached) if value]
    twice = [thing for thing, times in Counter(shared).items() if times > 1]
    return _when(
        not twice, f"{len(reached)} clones share nothing", f"shared between clones: {'; '.join(sorted(twice))}"
    )


def _owned_things(seen: Sequence[Sighting]) -> Iterator[tuple[str, Any]]:
    for one in seen:
        yield "certificate", one.certificate
        if one.registration:
            yield "agent identity", one.registration.identity
        if one.state is not None:
            yield "machine SID", one.state["machine_sid"]
            yield "computer name", one.state["computer_name"]
            yield from {("address", ip) for card in one.state["addresses"] for ip in card["ip"]}


_LOOKS: dict[str, Look] = {
    "active": _active,
    "certificate": _certificate,
    "ready": _ready,
    "address": _address,
    "sid": _sid,
    "name": _name,
    "stamp": _stamp,
    "setup": _setup,
    "desktop": _desktop,
    "drivers": _drivers,
    "pending-reboot": _pending,
    "agent": _agent,
    "registration": _registration,
    "traces": _traces,
    "usable": _usable,
}
