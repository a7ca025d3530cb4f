"""Waits until Windows is up and lets us in: certificate told on the serial console, WinRM pinned to it, our scripts sent."""

from imagebuild import windows
from imagebuild.cloud import Server
from imagebuild.errors import StepFailed
from imagebuild.guest import read_certificate, told_on_console
from imagebuild.recipe_header import NOBODY, Header
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, wait_for

_FAILED = "winrm failed"
_STOP_SCREEN = "*** STOP"
_NO_CERTIFICATE = (
    "the base image must run user data (Cloudbase-Init) and write to COM1; look at the console log, or set "
    "builder.trust_any_certificate in the recipe, which lets anybody on the network play the builder"
)


class ReachGuest(Step):
    """From a booted server to a session with a Windows that is proven to be the builder."""

    name = "reach-guest"
    title = "wait for Windows"
    needs = frozenset({"server_id"})
    gives = frozenset({"guest_address", "guest_certificate", "windows"})
    anew = True

    deadline_minutes: Minutes = 45

    def describe(self) -> str:
        """What is waited for."""
        return "certificate from the serial console, WinRM over HTTPS, our scripts in place"

    def check(self, header: Header) -> tuple[str, ...]:
        """Nobody is let in where the recipe says so."""
        closed = header.builder.allow_from == NOBODY
        return (f"builder.allow_from is {NOBODY}: this step could not talk to the builder",) if closed else ()

    def inputs(self, templates: object) -> dict[str, str]:
        """The scripts that are sent."""
        del templates
        return {"scripts": windows.digest()}

    def run(self, context: Context) -> None:
        """Address from Nova, certificate from the console, then WinRM until Windows is at rest."""
        deadline = context.deadline(self.deadline_minutes)
        address = wait_for(lambda: _address(context), "the builder's address", deadline=deadline, every=1)
        certificate = None
        if context.header.builder.trust_any_certificate:
            context.report.warn(
                "the recipe trusts any WinRM certificate: whoever answers at that address gets the password"
            )
        else:
            certificate = _certificate(context, deadline)
            context.report.note(f"certificate told on the console: {certificate[:16]}...")
        context.remember(guest_address=address, guest_certificate=certificate)
        guest = context.guest
        ready = guest.wait_until_ready(deadline=deadline, on_step=context.on_step)
        guest.send_scripts(deadline=deadline)
        place = guest.run("Initialize-Workplace", deadline=deadline, on_step=context.on_step)
        if place["session"]["elevated"] is False:  # None: whoami would not tell; the first refused command will
            user = context.header.builder.admin_user
            raise StepFailed(
                f"{user} has no administrator's rights over WinRM",
                hint="LocalAccountTokenFilterPolicy=1 in the base image",
            )
        words = ("os_version", "os_build", "os_edition", "architecture", "ui_culture", "powershell")
        told = {word: place.get(word) for word in words}
        context.remember(windows=told)
        context.report.note(
            f"Windows {ready['version']} {told['os_edition']} at {address}, {told['ui_culture'] or 'no language told'}"
        )


def _address(context: Context) -> str | None:
    addresses = _alive(context).addresses
    return addresses[0] if addresses else None


def _alive(context: Context, console: str = "") -> Server:
    """The builder, as long as it runs; `console`: what it has said, which Nova cannot show any more once it is off."""
    server = context.cloud.server(context.facts["server_id"])
    if server is None or server.status not in ("ACTIVE", "BUILD", "REBOOT", "HARD_REBOOT"):
        state = server.status if server else "gone"
        raise StepFailed(f"the builder is {state} while Windows was awaited", details=console.splitlines()[-20:])
    return server


def _certificate(context: Context, deadline: Deadline) -> str:
    """The pin. Fails at once when the console shows that it will never come."""

    log = ""

    def probe() -> str | None:
        nonlocal log
        log = context.cloud.console_log(context.facts["server_id"]) or log
        _alive(context, log)
        failed = [told for told in told_on_console(log) if told.startswith(_FAILED)]
        if failed:
            raise StepFailed(f"the builder could not open WinRM: {failed[-1]}", details=log.splitlines()[-20:])
        if _STOP_SCREEN in log:
            raise StepFailed(
                "Windows stopped while booting", hint="the stop code is on the console", details=log.splitlines()[-20:]
            )
        return read_certificate(log)

    return wait_for(
        probe, "the WinRM certificate on the serial console", deadline=deadline, every=1, hint=_NO_CERTIFICATE
    )
