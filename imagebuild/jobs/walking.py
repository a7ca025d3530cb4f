"""What a new build and a resumed one have in common: the way through the plan under the claim, and how it ends."""

import getpass
import os
import platform
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from imagebuild.aftermath import conclude
from imagebuild.attendant import PATIENCE_SECONDS, Attendant, Wishes
from imagebuild.build_folder import BuildFolder
from imagebuild.claim import Claim, release, renew
from imagebuild.errors import ImagebuildError
from imagebuild.jobs.settings import Settings
from imagebuild.plan import Plan, PlannedStep
from imagebuild.record import fold
from imagebuild.runner import Failure, run_plan
from imagebuild.step import Context

CLAIM_SECONDS = 1800.0
"""A claim's life beyond the deadline of the step that runs: enough for an undo, and for what happens between two steps."""


@dataclass(frozen=True)
class Built:
    """What a build came to. `changed` is False when --if-changed found the image there already; then there is no folder."""

    image: str
    image_id: str
    changed: bool
    folder: BuildFolder | None = None


def host_facts() -> dict[str, object]:
    """Who works on a build, for its journal."""
    return {"host": platform.node(), "user": getpass.getuser(), "pid": os.getpid()}


def walk(
    plan: Plan,
    context: Context,
    folder: BuildFolder,
    claim: Claim,
    *,
    skip: Collection[int],
    wishes: Wishes,
    settings: Settings,
    began: float,
) -> Built:
    """Run the steps that are left, renewing the claim before each. After a failure what stands is kept or undone, and the error raised.

    `began` is when the run began, on the monotonic clock.
    """
    attendant = Attendant(wishes, context, terminal=settings.terminal())
    guard = _Guard(claim, context, attendant)
    left = [planned.step.name for planned in plan.steps if planned.number not in skip]
    if wishes.pause_before and wishes.pause_before not in left:
        context.report.warn(f"no pause: {wishes.pause_before} need not be done again in this run")
    try:
        run_plan(plan, context, context.journal, skip=skip, before=guard.before, again=guard.again)
    except Failure as failure:
        context.disconnect()
        conclude(failure, context, folder, keep=attendant.keeps, again=f"invoke build {plan.recipe.file_name}")
        if attendant.keeps:
            guard.give_back()  # undo has taken it with the rest
        raise failure.error from failure
    finally:
        context.disconnect()
    _write_down(context, folder)
    guard.give_back()
    built = Built(context.facts["image_name"], context.facts["image_id"], changed=True, folder=folder)
    _tell(built, plan, context, seconds=time.monotonic() - began)
    return built


class _Guard:
    """The claim while the build goes on: good for every step, and while a person thinks."""

    def __init__(self, claim: Claim, context: Context, attendant: Attendant) -> None:
        self._claim = claim
        self._context = context
        self._attendant = attendant

    def before(self, planned: PlannedStep) -> None:
        """Before a step, and before the pause in front of it. Raises Busy when the claim is no longer ours."""
        if self._attendant.waits_before(planned):
            self._renew(PATIENCE_SECONDS)
            self._attendant.wait(planned)
        self._renew(planned.step.deadline_minutes * 60)

    def again(self, failure: Failure) -> bool:
        """Whether a failed step is tried again. The question is asked in any case; before another try the claim is looked at."""
        if self._attendant.asks:
            with suppress(ImagebuildError):
                self._renew(PATIENCE_SECONDS)
        return self._attendant.again(failure)

    def _renew(self, seconds: float) -> None:
        """Good for that long and some more."""
        self._claim = renew(self._context.cloud, self._claim, seconds + CLAIM_SECONDS)

    def give_back(self) -> None:
        """Let others have it; one that cannot be given back ends by itself."""
        try:
            release(self._context.cloud, self._claim)
        except ImagebuildError as error:
            self._context.report.warn(f"the claim could not be given back and ends by itself: {error}")


def _write_down(context: Context, folder: BuildFolder) -> None:
    """The image stands: a disk that is full now is told and no failure any more."""
    try:
        context.journal.write("build_done")
        record = fold(folder.entries())
        assert record is not None
        folder.save_json("record.json", record.as_json())
    except (ImagebuildError, OSError) as error:
        context.report.warn(f"the image is made, but that could not be written down: {error}")
    folder.forget_password()


def _tell(built: Built, plan: Plan, context: Context, *, seconds: float) -> None:
    assert built.folder is not None
    report = context.report
    follows = f"invoke verify {built.image}" if "sealed" in context.facts else "invoke images"
    minutes, rest = divmod(int(seconds), 60)
    report.say(f"record: {built.folder.path / 'record.json'}; all versions: invoke images")
    report.say(
        f"built {built.image} ({built.image_id}) in {minutes}:{rest:02d}; next: {follows}",
        image=built.image,
        image_id=built.image_id,
        build=built.folder.id,
        digest=plan.digest,
        changed=True,
        took_seconds=round(seconds, 1),
    )
