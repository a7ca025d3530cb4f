"""Builds that are over or dead: what they have left in the cloud, and its removal."""

from imagebuild.aftermath import undo
from imagebuild.build_folder import BuildFolder, build_folders
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Cloud
from imagebuild.errors import ImagebuildError
from imagebuild.jobs.settings import Settings
from imagebuild.record import fold
from imagebuild.report import Report


def sweep(settings: Settings, report: Report, *, dry_run: bool, kept: bool, foreign: bool) -> int:
    """Delete what dead builds have left in the cloud; returns how many things were found.

    `kept`: also what --on-error keep was asked to keep. `foreign`: also builds that this machine knows nothing of.
    """
    cloud = settings.open_cloud(report)
    things = [thing for thing in leftovers(cloud) if _may_go(thing.owner, settings, kept=kept, foreign=foreign)]
    for thing in things:
        report.say(
            f"{'would delete' if dry_run else 'deleting'} {thing} of {thing.owner}", kind=thing.kind, id=thing.id
        )
    if not things:
        report.say("nothing to sweep", found=0)
    if not dry_run:
        _undo_all(sorted({thing.owner for thing in things}), cloud, settings, report)
    return len(things)


def _undo_all(owners: list[str], cloud: Cloud, settings: Settings, report: Report) -> None:
    """Undo each of these builds; one that cannot be undone does not keep the others."""
    still: list[str] = []
    for owner in owners:
        folder = BuildFolder(settings.builds / owner)
        try:
            undo(cloud, folder if folder.journal.exists() else None, owner, report=report)
        except ImagebuildError as error:
            still += error.details or [f"{owner}: {error}"]
    if still:
        raise ImagebuildError("not everything could be swept", hint="run `invoke sweep` again later", details=still)


def tell_leftovers(cloud: Cloud, settings: Settings, report: Report) -> None:
    """Say what dead builds have left; nothing is deleted unasked."""
    things: list[Leftover] = [t for t in leftovers(cloud) if _may_go(t.owner, settings, kept=False, foreign=False)]
    if things:
        owners = sorted({thing.owner for thing in things})
        report.warn(f"{len(things)} leftovers of {', '.join(owners)}: `invoke sweep` deletes them")


def _may_go(owner: str, settings: Settings, *, kept: bool, foreign: bool) -> bool:
    """May this owner's things be deleted? Never those of a build that a living process works on."""
    known = {folder.id: folder for folder in build_folders(settings.builds)}
    if owner not in known:
        return foreign
    if known[owner].is_alive():
        return False
    record = fold(known[owner].entries())
    return kept or record is None or record.state != "kept"
