"""Sweeping: what dead builds have left in the cloud is told, and deleted when that is asked for. What lives is never touched.

Checkpoints past their end go with it, whoever made them: nothing starts from them, and all that is lost is what they take up.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress

from imagebuild.aftermath import undo
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.build_state import BuildState, read_state
from imagebuild.checkpoints import holds_until, list_stale
from imagebuild.claim import claims
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Cloud, Image
from imagebuild.errors import Busy, CloudError, DeadlinePassed, ImagebuildError
from imagebuild.jobs.settings import Settings
from imagebuild.journal import Journal, read_last
from imagebuild.report import Report
from imagebuild.waiting import Deadline

_CHECKPOINT_SECONDS = 60.0
_OVER = ("build_done", "undone")


def sweep(settings: Settings, report: Report, *, dry_run: bool, kept: bool, foreign: bool) -> int:
    """Delete what dead builds have left in the cloud; returns how many things were found.

    `kept`: also what --on-error keep was asked to keep. `foreign`: also builds that this machine knows nothing of, but for
    those whose claim says that another machine is at work on them. Checkpoints past their end go in any case.
    """
    cloud = settings.open_cloud(report)
    things = _may_go(cloud, settings, kept=kept, foreign=foreign)
    stale = _stale_checkpoints(cloud, report)
    words = "would delete" if dry_run else "deleting"
    for thing in things:
        report.say(f"{words} {thing} of {thing.owner}", kind=thing.kind, id=thing.id, owner=thing.owner)
    for image in stale:
        told = f"checkpoint {image.name} ({image.id}), which held until {holds_until(image):%Y-%m-%d}"
        report.say(f"{words} {told}", kind="image", id=image.id, checkpoint=True)
    if not things and not stale:
        report.say("nothing to sweep", found=0)
    if not dry_run:
        still = _undo_all(sorted({thing.owner for thing in things}), cloud, settings, report)
        _close_what_left_nothing(cloud, settings)
        still += _delete_checkpoints(stale, cloud)
        if still:
            raise ImagebuildError("not everything could be swept", hint="run `invoke sweep` again later", details=still)
    return len(things) + len(stale)


def is_dead_here(owner: str, settings: Settings) -> bool:
    """True for a build of this machine that no process works on any more."""
    folder = BuildFolder(settings.builds / owner)
    return folder.journal.exists() and not folder.is_alive()


def tell_dead_builds(cloud: Cloud, settings: Settings, report: Report) -> None:
    """Say what dead builds of this machine have left, and what can be done about it; nothing is deleted unasked.

    The cloud is asked only where a build's last word is not that it is over, and nobody works on it.
    """
    if all(read_last(folder.journal) in _OVER or folder.is_alive() for folder in build_folders(settings.builds)):
        return
    owners = {thing.owner for thing in _may_go(cloud, settings, kept=False, foreign=False)}
    for owner in sorted(owners):
        state = read_state(BuildFolder(settings.builds / owner))
        todo = f"invoke builds.undo {owner}" if state.is_over else state.next_command
        report.warn(f"{owner} is {state.word} ({state.place}) and has left things: {todo}")


def _stale_checkpoints(cloud: Cloud, report: Report) -> list[Image]:
    """Those that nothing runs from."""
    stale = list_stale(cloud)
    uses = cloud.image_uses() if stale else {}
    for image in stale:
        if uses.get(image.id):
            report.note(f"checkpoint {image.name} ({image.id}) stays: used by {', '.join(uses[image.id])}")
    return [image for image in stale if not uses.get(image.id)]


def _delete_checkpoints(images: Sequence[Image], cloud: Cloud) -> list[str]:
    """Delete these; gives what could not be deleted, and why."""
    still = []
    for image in images:
        try:
            cloud.delete("image", image.id, deadline=Deadline.after(_CHECKPOINT_SECONDS))
        except (CloudError, DeadlinePassed) as error:
            still.append(f"checkpoint {image.name} ({image.id}): {error}")
    return still


def _undo_all(owners: list[str], cloud: Cloud, settings: Settings, report: Report) -> list[str]:
    """Undo each of these builds; one that cannot be undone does not keep the others. Gives what still stands, and why."""
    still: list[str] = []
    for owner in owners:
        folder = BuildFolder(settings.builds / owner)
        try:
            undo(cloud, folder if folder.journal.exists() else None, owner, report=report)
        except ImagebuildError as error:
            still += error.details or [f"{owner}: {error}"]
    return still


def _close_what_left_nothing(cloud: Cloud, settings: Settings) -> None:
    """Dead builds of this project that have neither things nor an image are over: nobody need think of them again."""
    owners = {thing.owner for thing in leftovers(cloud)}
    for folder in build_folders(settings.builds):
        state = read_state(folder)
        if state.word == "dead" and folder.id not in owners and _has_made_nothing(state, cloud):
            with suppress(Busy), Journal(folder.journal) as journal:
                journal.write("undone", deleted=[])
            folder.forget_password()


def _has_made_nothing(state: BuildState, cloud: Cloud) -> bool:
    """As far as its journal tells: it began here and came to no image, or it was cut off before its first line."""
    if state.record is None:
        return not state.folder.entries()
    return state.record.project == cloud.project_id and not state.record.image_name


def _may_go(cloud: Cloud, settings: Settings, *, kept: bool, foreign: bool) -> list[Leftover]:
    """The things whose owner is dead. A build that ends while we look has nothing left, or is looked at as the dead one that it is."""
    known = {folder.id: folder for folder in build_folders(settings.builds)}
    found = leftovers(cloud)
    at_work = {claim.owner for claim in claims(cloud) if not claim.is_over()} if foreign else set[str]()
    states = {thing.owner: read_state(known[thing.owner]) for thing in found if thing.owner in known}
    return [
        thing
        for thing in found
        if _is_dead(states.get(thing.owner), thing.owner, kept=kept, foreign=foreign, at_work=at_work)
    ]


def _is_dead(state: BuildState | None, owner: str, *, kept: bool, foreign: bool, at_work: Collection[str]) -> bool:
    """May this owner's things be deleted? Never those of a build that a living process works on."""
    if state is None:
        return foreign and owner not in at_work
    return state.word != "running" and (kept or state.word != "kept")
