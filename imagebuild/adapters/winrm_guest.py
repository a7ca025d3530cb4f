"""A Windows over WinRM as our Guest: scripts in the session and as SYSTEM, files, restarts."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from imagebuild import windows
from imagebuild.adapters import guest_readiness
from imagebuild.adapters.winrm_answers import ScriptOutput, call_script, call_source, read_value, write_parameters
from imagebuild.adapters.winrm_endpoint import Endpoint
from imagebuild.adapters.winrm_files import SCRIPTS_FOLDER, check_received, pack_files
from imagebuild.adapters.winrm_jobs import SystemJobs
from imagebuild.adapters.winrm_session import WinRmSession
from imagebuild.errors import DeadlinePassed, GuestError, GuestUnreachable, SessionLost
from imagebuild.guest import OnStep, Parameters, Restarted, Value
from imagebuild.secrets import Secret
from imagebuild.waiting import Clock, Deadline, SystemClock, wait_for

Result = TypeVar("Result")

SETTLE_SECONDS = 5.0
PATIENCE_SECONDS = 120.0  # with a guest that has answered before: a switch that restarts, a host that is being moved
# By the house's rule for guest scripts these verbs look, or bring something to a state: once more does no harm. All others
# run as SYSTEM under a name of their own, or are asked once.
_REPEATABLE = ("Find", "Get", "Initialize", "Reset", "Set", "Test")
_LOST = (GuestUnreachable, SessionLost)
_RESTART_DELAY_SECONDS = 2  # with less the answer is lost


class WinRmGuest:
    """One Windows, as imagebuild.guest.Guest. Made by connect_guest; nothing is sent before the first call."""

    def __init__(self, session: WinRmSession, *, clock: Clock, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._session = session
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._jobs = SystemJobs(self._ask, clock=clock)
        self._sent_digest = ""
        self._has_answered = False

    def send_scripts(self, *, deadline: Deadline) -> None:
        """Sent once by this object: another process just sends them again, they are some 60 KB."""
        digest = windows.digest()
        if self._sent_digest != digest:
            files = {rf"{SCRIPTS_FOLDER}\{name}": content for name, content in windows.bundle().items()}
            self.send_files(files, deadline=deadline)
            self._sent_digest = digest

    def send_files(self, files: Mapping[str, bytes], *, deadline: Deadline) -> None:
        """For scripts and answer files; installers come from a CD or by HTTP, which is faster by far."""

        def send() -> None:
            output = ScriptOutput()
            ended = self._session.execute(
                call_source(windows.receiver()), stdin=pack_files(files), deadline=deadline, on_stdout=output.feed
            )
            output.end()
            check_received(files, read_value("Receive-Files", output, ended))

        self._persist(send, deadline)

    def run(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        """Run a script in the session; one that may be repeated is repeated after a lost answer."""

        def ask() -> Value:
            return self._ask(script, parameters, deadline=deadline, on_step=on_step)

        return self._persist(ask, deadline) if script.split("-")[0] in _REPEATABLE else ask()

    def _ask(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        """Run a script once. Its parameters go over standard input: not on a command line, not into an error."""
        output = ScriptOutput(on_step)
        ended = self._session.execute(
            call_script(script), stdin=[write_parameters(parameters)], deadline=deadline, on_stdout=output.feed
        )
        output.end()
        self._has_answered = True
        return read_value(script, output, ended)

    def _persist(self, ask: Callable[[], Result], deadline: Deadline) -> Result:
        """Ask; when the answer is lost of a guest that has answered before, ask again for a while, then raise the last error.

        What ran on in a lost shell has ended by then: a new session closes the old shells first.
        """
        lost: list[GuestError] = []

        def probe() -> tuple[Result] | None:
            try:
                return (ask(),)
            except _LOST as error:
                lost.append(error)
                return None

        first = probe()
        if first is not None:
            return first[0]
        if not self._has_answered:
            raise lost[-1]
        limit = deadline.within(PATIENCE_SECONDS)  # from now: the script itself may take longer than that
        try:
            return wait_for(probe, "an answer of the guest", deadline=limit, every=1.0, slowest=8.0)[0]
        except DeadlinePassed:
            raise lost[-1] from None

    def run_as_system(
        self,
        script: str,
        parameters: Parameters | None = None,
        *,
        job: str,
        deadline: Deadline,
        on_step: OnStep | None = None,
    ) -> Value:
        """Start it as SYSTEM, or find it started, and follow it to its end."""
        self._jobs.start(script, parameters, job=job, deadline=deadline)
        return self._jobs.follow(script, job=job, deadline=deadline, on_step=on_step)

    def start_as_system(
        self, script: str, parameters: Parameters | None = None, *, job: str, deadline: Deadline
    ) -> None:
        """Start it as SYSTEM and let go of the session, which must not hold the guest's last act up."""
        self._jobs.start(script, parameters, job=job, deadline=deadline, detached=True)
        self._session.close()

    def wait_until_ready(self, *, deadline: Deadline, on_step: OnStep | None = None) -> Value:
        """Brings the scripts first, as Get-Ready is one of them."""

        def ask(limit: Deadline) -> Value:
            self.send_scripts(deadline=limit)
            return self._ask("Get-Ready", deadline=limit)

        return guest_readiness.wait_until_ready(
            ask, settle_seconds=self._settle_seconds, deadline=deadline, on_step=on_step
        )

    def restart(self, reason: str, *, deadline: Deadline, on_step: OnStep | None = None) -> Restarted:
        """Every look has a session of its own: an open shell that dies with Windows would count as open for minutes."""

        def ask(limit: Deadline) -> Value:
            answer = self._ask("Get-Ready", deadline=limit)
            self._session.close()
            return answer

        def arm(limit: Deadline) -> Value:
            asked = {"reason": reason, "delay_seconds": _RESTART_DELAY_SECONDS}
            answer = self._ask("Restart-Guest", asked, deadline=limit, on_step=on_step)
            self._session.close()
            return answer

        def wait_ready(limit: Deadline) -> Value:
            return self.wait_until_ready(deadline=limit, on_step=on_step)

        return guest_readiness.restart(ask, arm, wait_ready, deadline=deadline, clock=self._clock)

    def close(self) -> None:
        """Close the shell."""
        self._session.close()


def connect_guest(
    address: str,
    *,
    user: str,
    password: Secret,
    certificate_sha256: str | None,
    insecure: bool = False,
    insecure_http: bool = False,
    port: int | None = None,
    clock: Clock | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> WinRmGuest:
    """The guest at `address`, by NTLM over HTTPS on 5986 with the certificate of that SHA-256 (hex of the DER form).

    Without a certificate it is refused (RecipeError), unless `insecure` takes any certificate or `insecure_http` uses plain HTTP
    on 5985, whose messages NTLM encrypts but whose server nobody has proved. Nothing is sent yet.
    """
    clock = clock or SystemClock()
    endpoint = Endpoint(
        address=address,
        user=user,
        password=password,
        certificate_sha256=certificate_sha256,
        insecure=insecure,
        http=insecure_http,
        port=port,
    )
    session = WinRmSession(address, endpoint.open, clock=clock)
    return WinRmGuest(session, clock=clock, settle_seconds=settle_seconds)
