"""After a failure: save the evidence, keep or undo what stands, and tell a person why, what stands and which command comes next."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from imagebuild.build_folder import BuildFolder
from imagebuild.cleaning import Leftover, leftovers, remove
from imagebuild.cloud import Cloud
from imagebuild.errors import ImagebuildError
from imagebuild.evidence import save_evidence
from imagebuild.journal import Journal
from imagebuild.report import Report
from imagebuild.runner import Failure
from imagebuild.step import Context
from imagebuild.waiting import Deadline

UNDO_SECONDS = 600
_LOOKS = 3  # a request whose answer was lost may still be on its way when the first look is taken
_IDS = {"server_id": "server", "image_id": "image"}


def conclude(failure: Failure, context: Context, folder: BuildFolder, *, keep: bool, again: str) -> None:
    """See to what a failed build has left; what then stands and what comes next is told in `failure.error.after`. Never raises.

    `again` is the command that builds it anew.
    """
    told = [f"failed in step {failure.step} of {folder.id}; logs: {folder.path}"]
    try:
        saved = save_evidence(context, folder)
        told += [f"saved: {', '.join(saved)}"] if saved else []
        told += _keep(context, folder) if keep else _take_away(context, folder, again=again)
    except ImagebuildError as error:
        told.append(f"cleaning up was cut short: {error}")
        told += [f"stands: {line}" for line in error.details or _last_seen(context.facts)]
        told += _ways_on(context, folder)
    except KeyboardInterrupt:
        told += ["cleaning up was cut short: interrupted", *_ways_on(context, folder)]
    failure.error.after = tuple(told)


def undo(cloud: Cloud, folder: BuildFolder | None, owner: str, *, report: Report) -> int:
    """Delete everything of a dead build, and write it into its journal when this machine has it. Raises Busy when it is alive."""
    deadline = Deadline.after(UNDO_SECONDS)
    if folder is None:
        return _undo(cloud, owner, None, report=report, deadline=deadline)
    with Journal(folder.journal) as journal:
        deleted = _undo(cloud, owner, journal, report=report, deadline=deadline)
    folder.forget_password()
    return deleted


def _undo(cloud: Cloud, owner: str, journal: Journal | None, *, report: Report, deadline: Deadline) -> int:
    """A journal that cannot be written (a full disk) does not keep anything from being deleted; one of a build that is done stays so."""
    if journal and any(entry.event == "build_done" for entry in journal.entries()):
        journal = None
    gone: list[Leftover] = []
    for _ in range(_LOOKS):
        things = leftovers(cloud, owner)
        if not things:
            break
        if journal and not gone:
            with suppress(ImagebuildError):
                journal.write("undo_begun")
        remove(cloud, things, report=report, deadline=deadline)
        gone += things
    if journal:
        try:
            journal.write("undone", deleted=[str(thing) for thing in gone])
        except ImagebuildError as error:
            report.warn(f"everything was deleted, but that could not be written down: {error}")
    return len(gone)


def _take_away(context: Context, folder: BuildFolder, *, again: str) -> list[str]:
    with context.report.step("undo", f"undo: delete everything of {folder.id}"):
        deadline = Deadline.after(UNDO_SECONDS, context.clock)
        deleted = _undo(context.cloud, folder.id, context.journal, report=context.report, deadline=deadline)
    folder.forget_password()
    image = context.facts.get("image_name")
    if image:
        return [f"{image} was registered before that and stands; nothing else does", "next: invoke images"]
    return [f"nothing of it stands any more ({deleted} things deleted)", f"next: mend it, then {again}"]


def _keep(context: Context, folder: BuildFolder) -> list[str]:
    # Before the cloud is asked: it may not answer, and a sweep must leave the builder alone all the same.
    context.journal.write("kept")
    told = _standing([thing for thing in leftovers(context.cloud, folder.id) if not thing.is_claim])
    if address := context.facts.get("guest_address"):
        user = context.header.builder.admin_user
        told.append(f"log on at {address} as {user}; the password is in {folder.path / 'password'}")
    return [*told, f"next: look at it, then invoke builds.resume {folder.id}", f"  or: invoke builds.undo {folder.id}"]


def _standing(things: Sequence[Leftover]) -> list[str]:
    return [f"stands: {thing}" for thing in things]


def _last_seen(facts: Mapping[str, Any]) -> list[str]:
    """What the build knows to have made, when the cloud cannot be asked."""
    return [f"{kind} {facts[name]} (as far as is known)" for name, kind in _IDS.items() if name in facts]


def _ways_on(context: Context, folder: BuildFolder) -> list[str]:
    """What can be done about a build whose things stand: deleting always works, going on needs all of them."""
    if any(entry.event == "undo_begun" for entry in context.journal.entries()):
        return [f"next: invoke builds.undo {folder.id}"]
    return [f"next: invoke builds.resume {folder.id}, to go on with it", f"  or: invoke builds.undo {folder.id}"]
