"""Resuming: a build that was cut off or kept goes on where it was, if its plan is still the same and its builder still stands."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from imagebuild.attendant import Wishes
from imagebuild.build_folder import BuildFolder, find_build
from imagebuild.build_state import read_state
from imagebuild.builder_power import come_up
from imagebuild.claim import Claim, release, take
from imagebuild.cloud import Cloud, Image
from imagebuild.errors import ImagebuildError, RecipeError
from imagebuild.images import is_ours, next_version
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.building import PLAN_FILE, make_context
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.sweeping import is_dead_here
from imagebuild.jobs.walking import CLAIM_SECONDS, Built, host_facts, walk
from imagebuild.journal import Journal
from imagebuild.plan import Plan, make_plan
from imagebuild.plan_outline import differences, outline
from imagebuild.properties import BUILD
from imagebuild.recipe import load_recipe
from imagebuild.record import Record
from imagebuild.report import Report
from imagebuild.resolution import resolve
from imagebuild.step import Context

_BUILDER = frozenset({"server_id", "windows", "guest_address"})
_WAKE_MINUTES = 15.0


def resume(text: str, settings: Settings, report: Report, *, wishes: Wishes | None = None) -> Built:
    """Go on with the build that `text` means. Raises RecipeError with the differences when its plan is not the same any more.

    Busy when a process works on it, or when its claim is another's by now. Nothing is changed before all that is clear.
    """
    began, wishes = time.monotonic(), wishes or Wishes()
    folder = find_build(settings.builds, text)
    with signals_as_interrupt(), Journal(folder.journal) as journal:
        record = _what_can_go_on(folder)
        settings = replace(settings, cloud=settings.cloud or record.cloud)
        cloud = settings.open_cloud(report)
        plan = _plan_again(record, folder, cloud, settings=settings, report=report)
        wishes.check([planned.step.name for planned in plan.steps], settings.terminal())
        _refuse_without_builder(plan, record, cloud, folder)
        context = make_context(plan, cloud, folder, journal, settings=settings, report=report)
        context.facts |= record.facts
        claim = _claim_again(record, folder.id, cloud, settings=settings, report=report)
        with ExitStack() as otherwise:
            otherwise.callback(release, cloud, claim)
            journal.write("resumed", **host_facts())
            _wake(plan, record, context)
            otherwise.pop_all()
        return walk(plan, context, folder, claim, skip=record.done, wishes=wishes, settings=settings, began=began)


def _what_can_go_on(folder: BuildFolder) -> Record:
    """The record of a build whose journal is ours now. Raises when nothing of it can be gone on with."""
    state = read_state(folder, ours=True)
    if state.record is None or state.why_not_resumed:
        again = f"start anew: invoke build {Path(state.record.file).stem}" if state.record else ""
        raise ImagebuildError(
            f"{folder.id} cannot be resumed: {state.why_not_resumed}", hint=state.next_command or again
        )
    return state.record


def _plan_again(record: Record, folder: BuildFolder, cloud: Cloud, *, settings: Settings, report: Report) -> Plan:
    """The plan as it is made now for the version and the moment of then. Raises RecipeError with what differs."""
    if cloud.project_id != record.project:
        raise RecipeError(
            f"{folder.id} was begun in another project ({record.cloud}, {record.project}) than that of {cloud.name}",
            hint="give the cloud that it was begun in: --cloud",
        )
    with report.step("resolve", f"resolve: is all as it was when {folder.id} was begun?"):
        recipe = load_recipe(Path(record.file))
        resolution = replace(resolve(recipe, cloud, room=False), version=record.version or 0)
        plan = make_plan(recipe, resolution, templates=settings.templates, at=datetime.fromisoformat(record.at))
    if plan.digest == record.digest:
        return plan
    try:
        was = json.loads((folder.path / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _changed(folder, [f"what it was cannot be told, {PLAN_FILE} is lost: {error}"]) from error
    raise _changed(folder, differences(was, outline(plan, templates=settings.templates)))


def _changed(folder: BuildFolder, lines: Sequence[str]) -> RecipeError:
    return RecipeError(
        f"{folder.id} cannot be resumed: its plan has changed since",
        details=lines,
        hint=f"change it back, or invoke builds.undo {folder.id} and build anew",
    )


def _refuse_without_builder(plan: Plan, record: Record, cloud: Cloud, folder: BuildFolder) -> None:
    """Raise when a step that is left needs a builder that is gone, or whose password is."""
    left = [planned.step for planned in plan.steps if planned.number not in record.done]
    if "server_id" not in record.facts or not any(step.needs & _BUILDER for step in left):
        return
    server = cloud.server(record.facts["server_id"])
    if server is None:
        reason = f"its builder {record.facts['server_id']} is gone"
    elif server.status == "ERROR":
        reason = f"its builder {server.id} is in ERROR: {server.fault}"
    elif not folder.has_password:
        reason = "its builder's password is gone"
    else:
        return
    hint = f"invoke builds.undo {folder.id}, and build anew"
    raise ImagebuildError(f"{folder.id} cannot be resumed: {reason}", hint=hint)


def _claim_again(record: Record, owner: str, cloud: Cloud, *, settings: Settings, report: Report) -> Claim:
    """The claim on the version that the build was begun for, when nobody has made that version meanwhile."""

    def seed(images: Sequence[Image]) -> str:
        image = next((one for one in images if one.id == record.image_id), None)
        if image and is_ours(image) and image.properties.get(BUILD) == owner:  # cut off after it was registered
            return str(record.version)
        return str(next_version(cloud, record.recipe, among=images))

    claim = take(
        cloud,
        record.recipe,
        purpose="build",
        seed=seed,
        owner=owner,
        lifetime_seconds=CLAIM_SECONDS,
        is_dead=lambda other: is_dead_here(other, settings),
        report=report,
    )
    if claim.seed != str(record.version):
        release(cloud, claim)
        raise ImagebuildError(
            f"{owner} cannot be resumed: {record.planned_name} was made by another build meanwhile",
            hint=f"invoke builds.undo {owner}, and build anew",
        )
    return claim


def _wake(plan: Plan, record: Record, context: Context) -> None:
    """Windows up and ready for a step that only talks to it; the builder may have been switched off since, or be restarting."""
    first = next((planned.step for planned in plan.steps if planned.number not in record.done), None)
    if first is None or "windows" not in first.needs or "server_id" in first.needs:
        return
    try:
        come_up(context, context.deadline(_WAKE_MINUTES))
    except ImagebuildError as error:
        error.after = (f"nothing was done; next: invoke builds.undo {context.build.id}, or resume it later",)
        raise
