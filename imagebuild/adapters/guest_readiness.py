"""When is a Windows ready, and has it really restarted? Two rules over what Get-Ready tells, whatever carries the question."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from imagebuild.adapters.winrm_errors import WrongCertificate
from imagebuild.errors import DeadlinePassed, GuestError, GuestUnreachable, ImagebuildError, ScriptBroken, SessionLost
from imagebuild.guest import OnStep, Restarted, Value
from imagebuild.waiting import Clock, Deadline, wait_for

# LogonUI makes its mark when "configuring updates" is over. Server Core makes it, too; a Windows that never does is accepted
# after this long with a warning.
LOGON_SCREEN_SECONDS = 120.0
_ASK_SECONDS = 60.0
_ARM_SECONDS = 60.0
_CORRECTION_SECONDS = 5.0  # LastBootUpTime moves with every correction of the clock

# All that a booting Windows does to a caller: no port, a refused password, a shell that dies, WMI that is not up, a hang.
_BOOTING: tuple[type[ImagebuildError], ...] = (GuestError, DeadlinePassed)

Ask = Callable[[Deadline], Value]


@dataclass
class _Watch:
    """What a row of answers has shown so far."""

    settle_seconds: float
    on_step: OnStep
    good_since: float | None = None
    unlit_since: float | None = None
    told: str = ""

    def judge(self, answer: Value, now: float) -> bool:
        """True when this answer and one at least `settle_seconds` before it were good."""
        if answer["busy"]:
            self.good_since = None
            self._tell("Windows is busy: " + ", ".join(answer["busy"]))
            return False
        if not answer["logon_screen_shown"]:
            self.unlit_since = now if self.unlit_since is None else self.unlit_since
            if now - self.unlit_since < LOGON_SCREEN_SECONDS:
                self.good_since = None
                self._tell("Windows answers; its logon screen is not there yet")
                return False
            self._tell(f"warning: no logon screen for {LOGON_SCREEN_SECONDS:.0f} s, going on without")
        self.good_since = now if self.good_since is None else self.good_since
        return now - self.good_since >= self.settle_seconds

    def _tell(self, text: str) -> None:
        if text != self.told:
            self.told = text
            self.on_step(text)


def wait_until_ready(ask: Ask, *, settle_seconds: float, deadline: Deadline, on_step: OnStep | None) -> Value:
    """The last of the good answers. Everything that a boot does to us passes; a wrong certificate does not."""
    watch = _Watch(settle_seconds, on_step or _say_nothing)
    clock = deadline.clock

    def probe() -> tuple[Value, WrongCertificate | None] | None:
        try:
            answer = ask(deadline.within(_ASK_SECONDS))
        except WrongCertificate as error:
            return {}, error
        except _BOOTING:
            watch.good_since = None
            raise
        return (answer, None) if watch.judge(answer, clock.now()) else None

    every = max(0.2, min(2.0, settle_seconds))
    answer, refused = wait_for(probe, "Windows to be ready", deadline=deadline, every=every, passing=_BOOTING)
    if refused is not None:
        raise refused
    return answer


def restart(ask: Ask, arm: Ask, wait_ready: Ask, *, deadline: Deadline, clock: Clock) -> Restarted:
    """Restart and prove it.

    `ask` is Get-Ready, `arm` Restart-Guest, `wait_ready` waits until Windows is ready.
    """
    begun = clock.now()
    before = ask(deadline)
    proof = _RestartProof(before, begun, commanded=clock.now())
    armed = _arm(arm, deadline)

    def probe() -> bool | None:
        nonlocal armed
        try:
            now = ask(deadline.within(_ASK_SECONDS))
        except GuestUnreachable:
            proof.was_away = True
            raise
        if proof.holds(now, clock.now()):
            return True
        armed = armed or _arm(arm, deadline)  # the answer was lost, and perhaps the question
        return None

    hint = "its console tells whether it hangs while it shuts down or while it starts"
    wait_for(probe, "Windows to restart", deadline=deadline, every=1.0, passing=_BOOTING, hint=hint)
    after = wait_ready(deadline)
    return Restarted(
        boot_time_before=before["boot_time"], boot_time_after=after["boot_time"], seconds=clock.now() - begun
    )


@dataclass
class _RestartProof:
    """What tells a restarted Windows from one that has not got to it yet.

    An uptime shorter than the time since our command proves it, unless the counter began anew by itself (32 bits of
    milliseconds): LastBootUpTime has to differ as well. A guest whose clock runs too fast, as emulated ones do under load, has
    too long an uptime for that. It is believed when it was away, its boot time moved by more than a correction, and it has not been
    up for as long as it would be without the restart.
    """

    before: Value
    asked_at: float
    commanded: float
    was_away: bool = False

    def holds(self, now: Value, at: float) -> bool:
        """Whether this answer, given at that time, is of another boot."""
        if now["boot_time"] == self.before["boot_time"]:
            return False
        if now["uptime_seconds"] < at - self.commanded:
            return True
        unbroken = self.before["uptime_seconds"] + (at - self.asked_at)
        moved = abs(_read_boot_time(now["boot_time"]) - _read_boot_time(self.before["boot_time"]))
        return self.was_away and moved > _CORRECTION_SECONDS and bool(now["uptime_seconds"] < unbroken)


def _read_boot_time(text: str) -> float:
    """Seconds since 1970 of WMI's form of a time, 20260101103000.500000+540; the offset is in minutes."""
    moment = datetime.strptime(text[:21], "%Y%m%d%H%M%S.%f").replace(tzinfo=timezone(timedelta(minutes=int(text[21:]))))
    return moment.timestamp()


def _arm(arm: Ask, deadline: Deadline) -> bool:
    """True when Windows has said that it will restart; False when the answer was lost on the way."""
    try:
        answer = arm(deadline.within(_ARM_SECONDS))
    except (SessionLost, GuestUnreachable, ScriptBroken, DeadlinePassed):
        return False
    if not answer["armed"]:
        raise GuestError(
            f"Windows refuses to restart: {answer['words']} (code {answer['code']})",
            hint="code 5 is a missing right, 1190 a shutdown that somebody else has scheduled",
        )
    return True


def _say_nothing(text: str) -> None:
    del text
