"""Clones of an image on their way to being desktops: each turn asks and never waits, so that one loop serves many of them at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagebuild.broker import Registrar, Registration
from imagebuild.cloud import Cloud, Server
from imagebuild.errors import BrokerError, CloudError, DeadlinePassed, GuestError, GuestRefused, ImagebuildError
from imagebuild.guest import Guest, read_certificate, told_on_console
from imagebuild.report import Report
from imagebuild.sighting import Sighting, Wanted
from imagebuild.waiting import Deadline, wait_for

_CALL_SECONDS = 60.0
_LOOK_SECONDS = 300.0  # all questions to one Windows: its first minutes are busy ones
_LOGON_SECONDS = 120.0  # some editions never show a logon screen
_PATIENCE_SECONDS = 120.0  # once Windows is ready: for Remote Desktop, the broker and the end of Cloudbase-Init
_STOP_SCREEN = "*** STOP"
_WINRM_FAILED = "winrm failed"
_WORKPLACE = r"C:\imagebuild\runs\generalize"
_ANSWERS = r"C:\Windows\Setup\imagebuild\unattend.xml"
# What a living Windows makes by itself, or by the user data that lets us in: no trace of the build.
_ITS_OWN = ["cloudbase_init", "update_identity", "ssh_host_keys", "recent_files", "temp", "event_logs"]

ConnectClone = Callable[[str, str], Guest]  # address, certificate's SHA-256


@dataclass(frozen=True)
class Ways:
    """How clones are looked at. `desktop_answers` asks an address once; `builder_certificate` (SHA-256): must be in no clone's store."""

    cloud: Cloud
    connect: ConnectClone
    desktop_answers: Callable[[str], bool]
    report: Report
    broker: Registrar | None = None
    builder_certificate: str | None = None


class Clone:
    """One clone: what was seen of it, and what is to be asked next."""

    def __init__(self, server: Server, begun: float, ways: Ways, wanted: Wanted) -> None:
        self.server_id = server.id
        self.sighting = Sighting(server.name)
        self.console = ""
        self._begun = begun
        self._ways = ways
        self._wanted = wanted
        self._guest: Guest | None = None
        self._ask: Callable[[Deadline], None] | None = self._await_active
        self._unlit_since: float | None = None

    def turn(self, deadline: Deadline) -> bool:
        """Ask for what is awaited next. True when nothing more is to be found out."""
        if self._ask is not None:
            try:
                self._ask(deadline)
            except (CloudError, GuestError, DeadlinePassed) as error:
                self._stumble(error, deadline)
        self._look_at_desktop(deadline)
        return self._ask is None and self._is_complete(deadline)

    def heard(self, registrations: Sequence[Registration], deadline: Deadline) -> None:
        """Take note of what the broker knows of this clone: the last registration under its name."""
        known = [one for one in registrations if one.name.upper() == self.sighting.name.upper()]
        if known and self.sighting.registration is None:
            self._see(registration=known[-1], registered_seconds=self._seconds(deadline))

    def has_no_broker(self, error: BrokerError) -> None:
        """Take note of why the broker could not be asked."""
        self._see(broker_trouble=str(error))

    def end(self) -> None:
        """End the session; nothing more is asked."""
        self._hang_up()
        self._ask = None

    # ---------------------------------------------------------------------------------------------- one after another

    def _await_active(self, deadline: Deadline) -> None:
        server = self._server()
        if server and server.status == "ACTIVE" and server.addresses:
            self._see(addresses=server.addresses, active_seconds=self._seconds(deadline))
            self._ask = self._await_certificate

    def _await_certificate(self, deadline: Deadline) -> None:
        self.console = self._ways.cloud.console_log(self.server_id) or self.console
        failed = [line for line in told_on_console(self.console) if line.startswith(_WINRM_FAILED)]
        certificate = read_certificate(self.console)
        if self._server() is None:
            return
        if _STOP_SCREEN in self.console:
            self._give_up("Windows stopped while booting: the stop code is on its console")
        elif failed:
            self._give_up(failed[-1])
        elif certificate is not None:
            self._see(certificate=certificate)
            self._ask = self._await_windows

    def _await_windows(self, deadline: Deadline) -> None:
        if self._server() is None:
            return
        guest, limit = self._connected(), deadline.within(_CALL_SECONDS)
        guest.send_scripts(deadline=limit)
        ready = guest.run("Get-Ready", deadline=limit)
        if ready["busy"]:
            self._see(trouble=f"Windows is busy: {', '.join(ready['busy'])}")
            return
        if not ready["logon_screen_shown"]:
            self._unlit_since = self._unlit_since or self._seconds(deadline)
            if self._seconds(deadline) - self._unlit_since < _LOGON_SECONDS:
                return
        if self.sighting.ready_seconds is None:  # else it was lost while it was looked at
            self._see(ready_seconds=self._seconds(deadline))
            self._ways.report.note(f"{self.sighting.name} is ready after {self._seconds(deadline):.0f} s")
        self._ask = self._look_inside

    def _look_inside(self, deadline: Deadline) -> None:
        if self._server() is None:
            return
        guest, limit = self._connected(), deadline.within(_LOOK_SECONDS)
        state = guest.run("Get-CloneState", deadline=limit)
        self._see(state=state)
        cloudbase = state["cloudbase_init"]
        if cloudbase["service"] is not None and not cloudbase["done"] and self._is_patient(deadline):
            return
        if self._wanted.disk_bus in ("virtio", "scsi"):
            self._see(drivers=guest.run("Get-DriverState", {"bus": self._wanted.disk_bus}, deadline=limit))
        if self._wanted.agent is not None:
            self._see(agent=guest.run("Get-BrokerAgent", {"service": self._wanted.agent}, deadline=limit))
        job = "verify-traces"
        traces: dict[str, Any] = {
            "task_prefix": "imagebuild-",
            "own_task": f"imagebuild-{job}",
            "paths": [_WORKPLACE, _ANSWERS],
            "certificates": [self._ways.builder_certificate] if self._ways.builder_certificate else [],
            "keep": _ITS_OWN,
        }
        # As SYSTEM, who alone sees where Windows keeps a password for logging on by itself.
        self._see(traces=guest.run_as_system("Get-Traces", traces, job=job, deadline=limit))
        self._see(pending=guest.run("Get-PendingReboot", deadline=limit), trouble="")
        self._hang_up()
        self._ask = None

    # ---------------------------------------------------------------------------------------------- beside that

    def _look_at_desktop(self, deadline: Deadline) -> None:
        """Not before the certificate: it may not have its address yet, and asking one that nobody has takes its time."""
        seen = self.sighting
        if not self._wanted.desktop or seen.desktop_seconds is not None or seen.certificate is None:
            return
        if any(self._ways.desktop_answers(address) for address in seen.addresses):
            self._see(desktop_seconds=self._seconds(deadline))

    def _is_complete(self, deadline: Deadline) -> bool:
        """Whether the rest is there, too, or need not be waited for any longer."""
        seen, wanted = self.sighting, self._wanted
        lacks_desktop = wanted.desktop and seen.desktop_seconds is None
        lacks_broker = wanted.registers and seen.registration is None
        lacks = seen.ready_seconds is not None and (lacks_desktop or lacks_broker)
        return not lacks or not self._is_patient(deadline)

    def _is_patient(self, deadline: Deadline) -> bool:
        ready = self.sighting.ready_seconds
        return ready is None or self._seconds(deadline) - ready < _PATIENCE_SECONDS

    def _stumble(self, error: ImagebuildError, deadline: Deadline) -> None:
        """What passes by is tried again, after a refusal by the certificate that the console tells now; not for ever once it was ready."""
        self._see(trouble=str(error))
        if not self._is_patient(deadline):
            self.end()
        elif isinstance(error, GuestRefused):
            self._hang_up()
            self._ask = self._await_certificate

    def _server(self) -> Server | None:
        """The server, as long as it is on; one that the cloud could not run, that is gone or off is given up."""
        server = self._ways.cloud.server(self.server_id)
        if server is None:
            self._fault("it is gone: somebody deleted it")
        elif server.status == "ERROR":
            self._fault(f"the cloud could not run it: {server.fault or 'no reason given'}")
        elif server.status == "SHUTOFF":
            self._give_up("it switched itself off")
        else:
            return server
        return None

    def _connected(self) -> Guest:
        if self._guest is None:
            assert self.sighting.certificate is not None
            self._guest = self._ways.connect(self.sighting.addresses[0], self.sighting.certificate)
        return self._guest

    def _hang_up(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.close()

    def _fault(self, words: str) -> None:
        self._see(fault=words)
        self._give_up(words)

    def _give_up(self, words: str) -> None:
        self._see(trouble=words)
        self.end()

    def _see(self, **seen: Any) -> None:
        self.sighting = replace(self.sighting, **seen)

    def _seconds(self, deadline: Deadline) -> float:
        return deadline.clock.now() - self._begun


@dataclass
class _Round:
    """All clones once; the broker is asked once a round, and only while somebody waits for it."""

    clones: Sequence[Clone]
    ways: Ways
    deadline: Deadline
    done: set[str] = field(default_factory=set)

    def __call__(self) -> bool | None:
        waiting = [clone for clone in self.clones if clone.server_id not in self.done]
        self._ask_broker(waiting)
        self.done |= {clone.server_id for clone in waiting if clone.turn(self.deadline)}
        return True if len(self.done) == len(self.clones) else None

    def _ask_broker(self, waiting: Sequence[Clone]) -> None:
        if self.ways.broker is None or not any(clone.sighting.ready_seconds for clone in waiting):
            return
        try:
            registrations = self.ways.broker.registrations()
        except BrokerError as error:
            for clone in waiting:
                clone.has_no_broker(error)
            return
        for clone in waiting:
            clone.heard(registrations, self.deadline)


def watch(clones: Sequence[Clone], ways: Ways, *, deadline: Deadline) -> tuple[Sighting, ...]:
    """Look at all clones until each has shown what it can, or the deadline passes; then what was seen of each."""
    try:
        wait_for(_Round(clones, ways, deadline), "the clones", deadline=deadline, every=0.5, slowest=2.0)
    except DeadlinePassed as error:
        ways.report.warn(f"{error}: what was seen until then counts")
    finally:
        for clone in clones:
            clone.end()
    return tuple(clone.sighting for clone in clones)
