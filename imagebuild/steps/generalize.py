"""The last act: sysprep, DHCP release, seal and shutdown in one detached script; then the proof that it was this act that ended it."""

from pathlib import Path

from pydantic import Field

from imagebuild import windows
from imagebuild.answers import render_answer_file
from imagebuild.builder_power import begin_last_act, refuse_foreign_stops
from imagebuild.cloud import Server
from imagebuild.complaints import Whole
from imagebuild.errors import CloudError, DeadlinePassed, GuestError, ImagebuildError, StepFailed
from imagebuild.guest import told_on_console
from imagebuild.recipe_header import SerialPort
from imagebuild.secrets import derive_password
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, wait_for

JOB = "generalize"
_BEGUN = "checking"  # the first phase that Start-Generalize tells, the last one is:
_SEALED = "shutdown"
_ASKED = "generalize_asked"  # the fact that the act was about to be started
_WORKPLACE = r"C:\imagebuild"


class Generalize(Step):
    """After it the clone has no SID, no lease and no trace of its build. SHUTOFF alone proves nothing: anybody may have switched it off."""

    name = "generalize"
    title = "generalize"
    needs = frozenset({"server_id", "guest_address", "checks"})
    gives = frozenset({"sealed", "off"})

    deadline_minutes: Minutes = 90
    sysprep_minutes: Whole = Field(default=60, gt=0, description="Windows 7 on slow disks has been seen to take 30")
    shutdown_seconds: Whole = Field(
        default=10, ge=5, description="between the seal and the shutdown: time to read the seal"
    )
    serial_port: SerialPort = "COM1"

    def describe(self) -> str:
        """In order."""
        return "sysprep, clear traces, release DHCP, seal, shut down; wait for SHUTOFF and prove it"

    def inputs(self, templates: Path) -> dict[str, str]:
        """The answer file that goes with it."""
        return {"template": (templates / "sysprep.xml.j2").read_text(encoding="utf-8")}

    def run(self, context: Context) -> None:
        """Seal what earlier steps asked for, start the act, watch the console until the machine is off, then prove it."""
        deadline = context.deadline(self.deadline_minutes)
        watch = _Watch(context)
        taken_up = watch.begun()
        if not taken_up:
            taken_up = not self._begin(context, watch, deadline)
        try:
            server = wait_for(watch.look, "the builder to shut itself down", deadline=deadline, every=1)
        except DeadlinePassed as error:
            raise _explained(str(error), context, watch.phases) from error
        sealed = _proven(server, context, watch.phases, taken_up=taken_up)
        context.remember(sealed=sealed, off="shut itself down")

    def _begin(self, context: Context, watch: "_Watch", deadline: Deadline) -> bool:
        """Start the act, or find it started. False when its begin was not answered, only seen: what it said meanwhile may be lost."""
        if not context.facts.get(_ASKED):
            for call in context.facts.get("before_generalize", []):
                context.guest.run(call["script"], call["parameters"], deadline=deadline)
            context.remember(**{_ASKED: True})
        parameters = self._parameters(context)
        heard = begin_last_act(context, "Start-Generalize", parameters, job=JOB, begun=watch.begun, deadline=deadline)
        context.disconnect()  # an open shell of ours keeps the workplace in use, and it must go
        return heard

    def _parameters(self, context: Context) -> dict[str, object]:
        traces: dict[str, object] = {"task_prefix": "imagebuild-"}
        # Nobody keeps it: Cloudbase-Init gives every clone its own. The same in every try, or the guest's job would be another one.
        first = derive_password(context.password, "the clones' first")
        if context.facts["guest_certificate"]:
            traces |= windows.build_access_traces(context.facts["guest_certificate"])
        return {
            "answer_file": render_answer_file(context.templates, settings=context.header.windows, password=first),
            "deadline_seconds": self.sysprep_minutes * 60,
            "shutdown_seconds": self.shutdown_seconds,
            "serial_port": self.serial_port,
            "traces": traces,
            "task": f"imagebuild-{JOB}",
            "remove_after": [_WORKPLACE],
        }


class _Watch:
    """Reads the console and Nova's word; tells each new phase once and keeps it.

    Nova's libvirt driver has no console log of a machine that is off (404, its pty is gone): what was told must be read before.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.phases: list[str] = context.facts.get("generalize_phases", [])

    def begun(self) -> bool:
        """Whether a run that was cut off has begun the act: it begins only once. A builder that is off has no console to tell."""
        if self.phases or _phases(self._console()):
            return True
        server = self._context.cloud.server(self._context.facts["server_id"])
        return bool(self._context.facts.get(_ASKED) and server and server.status == "SHUTOFF")

    def _console(self) -> str:
        return self._context.cloud.console_log(self._context.facts["server_id"])

    def look(self) -> Server | None:
        """The server once it is off; StepFailed when the act says that it failed."""
        context = self._context
        server = context.cloud.server(context.facts["server_id"])
        phases = _phases(self._console()) or self.phases
        if phases != self.phases:
            for phase in phases[len(self.phases) :]:
                context.report.note(phase)
            self.phases = phases
            context.remember(generalize_phases=phases)
        if phases and phases[-1].startswith("failed"):
            raise _explained(f"generalize {phases[-1]}", context, phases)
        if server is None:
            raise StepFailed("the builder is gone: somebody deleted it", hint="run the build again")
        off = server.status == "SHUTOFF" and server.task_state is None
        return server if off else None


def _phases(console_log: str) -> list[str]:
    """What Start-Generalize has told since it began last."""
    told = list(told_on_console(console_log))
    begun = [number for number, phase in enumerate(told) if phase == _BEGUN]
    return told[begun[-1] :] if begun else []


def _proven(server: Server, context: Context, phases: list[str], *, taken_up: bool) -> dict[str, object]:
    """SHUTOFF, nobody's stop through Nova, and the seal as the last word on the console. Anything less is no image.

    `taken_up`: nobody watched for a while, and what was said then is lost. The seal is on the disk as well, where a clone shows it:
    so the image may be made, and only a verification says that it is sealed.
    """
    refuse_foreign_stops(context.cloud, server.id)
    if phases and phases[-1] == _SEALED:
        return {"phases": phases}
    if taken_up:
        context.report.warn("nobody saw the builder's last words: whether it sealed itself, `invoke verify` will show")
        return {"phases": phases, "unseen": True}
    if not phases:
        words = "the builder is off, and its console does not say why"
        raise StepFailed(
            words, hint="the serial console must be readable: see serial_port in the recipe and the cloud's console log"
        )
    words = f"the builder went off in the phase '{phases[-1]}', before it was sealed"
    raise StepFailed(words, hint="a crash or a power cut: build again", details=phases)


def _explained(words: str, context: Context, phases: list[str]) -> ImagebuildError:
    """The failure with Windows' own reason, as far as it can still be asked."""
    try:
        outcome = context.guest.run("Get-GeneralizeOutcome", deadline=Deadline.after(60, context.clock))
    except (GuestError, CloudError, DeadlinePassed) as error:
        return StepFailed(
            words, details=[*phases, f"the guest could not be asked: {error}"], hint="look at the console log"
        )
    reason = outcome["reason"] or {"words": f"phase {outcome['phase']}, state {outcome['image_state']}", "fix": ""}
    lines = [f"{line['time']} {line['level']} {line['text']}" for line in outcome["log_lines"]]
    return StepFailed(f"{words}: {reason['words']}", hint=reason["fix"] or "see sysprep's log lines", details=lines)
