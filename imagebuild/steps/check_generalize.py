"""The gate before sysprep: Windows at rest, nothing pending, every check green, the image's stamp written."""

import re
from typing import Any

from pydantic import Field

from imagebuild import windows
from imagebuild.errors import StepFailed
from imagebuild.recipe_header import Header, Word
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, pause

_MOST_RESTARTS = 3
_NAME = re.compile(r"^\s+@\('(\w+)', ", re.MULTILINE)


class CheckGeneralize(Step):
    """Sysprep with a pending restart, a domain membership or a stray Store app fails late or makes broken clones: look before."""

    name = "check-generalize"
    title = "checks before sysprep"
    needs = frozenset({"windows"})
    gives = frozenset({"checks"})

    deadline_minutes: Minutes = 120
    accept: list[Word] = Field(default_factory=list, description="names of checks that may fail in this recipe")

    def check(self, header: Header) -> tuple[str, ...]:
        """The names are those of the script's own table."""
        del header
        known = _NAME.findall(windows.read_script("Test-Generalize").decode("ascii"))
        return tuple(
            f"there is no check {one!r}; there are {', '.join(known)}" for one in self.accept if one not in known
        )

    def run(self, context: Context) -> None:
        """Restart until nothing is pending, repair what can be repaired, refuse the rest with words and a way out."""
        deadline = context.deadline(self.deadline_minutes)
        self._settle(context, deadline)
        found = self._look(context, deadline, number=1)
        if found.get("packages"):
            context.report.note(
                f"removing Store packages that sysprep would stumble over: {', '.join(found['packages'])}"
            )
            context.guest.run_as_system("Repair-Appx", job="repair-appx", deadline=deadline, on_step=context.on_step)
            found = self._look(context, deadline, number=2)
        if not found["ready"]:
            bad = [check for check in found["checks"] if check["blocking"] and not check["ok"]]
            details = [f"{check['name']}: {check['words']}; {check['fix']}" for check in bad]
            raise StepFailed(
                "this Windows may not be generalized", details=details, hint="`accept` in the recipe lets a check pass"
            )
        for check in found["checks"]:
            if not check["ok"]:
                context.report.warn(f"{check['name']}: {check['words']}; {check['fix']}")
        build = context.build
        stamp = {"recipe": build.recipe, "version": str(build.version), "build": build.id, "digest": build.digest}
        context.guest.run_as_system("Set-ImageStamp", {"stamp": stamp}, job="stamp", deadline=deadline)
        context.remember(checks={"passed": len(found["checks"]), "accepted": sorted(self.accept)})

    def _settle(self, context: Context, deadline: Deadline) -> None:
        """Restart while there is a hard reason for it. File renames come back for ever on some machines: one restart is enough for them."""
        restarts = 0
        while True:
            pending = context.guest.run("Get-PendingReboot", deadline=deadline)
            reasons = "; ".join(reason["text"] for reason in pending["reasons"])
            if pending["wait"]:
                pause(15, deadline=deadline)
                continue
            soft_only = bool(pending["reasons"]) and not pending["reboot_needed"]
            if not pending["reasons"] or (soft_only and restarts):
                return
            if restarts == _MOST_RESTARTS:
                raise StepFailed(
                    f"Windows wants a restart again and again: {reasons}", hint="look into its servicing log"
                )
            context.report.note(f"restarting: {reasons}")
            context.guest.restart("pending: before sysprep", deadline=deadline, on_step=context.on_step)
            restarts += 1

    def _look(self, context: Context, deadline: Deadline, *, number: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {"accept": self.accept}
        if context.header.windows.skip_rearm:  # then sysprep uses none up
            parameters["rearms_needed"] = 0
        return context.guest.run_as_system("Test-Generalize", parameters, job=f"checks-{number}", deadline=deadline)
