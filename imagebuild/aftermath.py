"""After a failure: save the evidence, keep or undo what stands, and tell a person why, what stands and which command comes next."""

from imagebuild.build_folder import BuildFolder
from imagebuild.cleaning import leftovers, remove
from imagebuild.cloud import Cloud
from imagebuild.errors import CloudError, ImagebuildError
from imagebuild.journal import Journal
from imagebuild.report import Report
from imagebuild.runner import Failure
from imagebuild.step import Context
from imagebuild.waiting import Deadline

UNDO_SECONDS = 600


def conclude(failure: Failure, context: Context, folder: BuildFolder, *, keep: bool) -> None:
    """See to what a failed build has left; what then stands and what comes next is told in `failure.error.after`. Never raises."""
    failure.error.after = (f"failed in step {failure.step} of {context.build.id}; logs: {folder.path}",)
    again = "next: invoke sweep --kept" if keep else "next: invoke sweep"
    try:
        _save_console(context, folder)
        told = _keep(context, folder) if keep else _take_away(context, folder)
    except ImagebuildError as error:
        told = [
            f"cleaning up was cut short: {error}",
            *(f"stands: {line}" for line in error.details),
            again,
        ]
    except KeyboardInterrupt:
        told = ["cleaning up was cut short: interrupted", again]
    failure.error.after += tuple(told)


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
    things = leftovers(cloud, owner)
    remove(cloud, things, report=report, deadline=deadline)
    if journal:
        journal.write("undone", deleted=[str(thing) for thing in things])
    return len(things)


def _take_away(context: Context, folder: BuildFolder) -> list[str]:
    with context.report.step("undo", f"undo: delete everything of {context.build.id}"):
        deadline = Deadline.after(UNDO_SECONDS, context.clock)
        deleted = _undo(context.cloud, context.build.id, context.journal, report=context.report, deadline=deadline)
    folder.forget_password()
    image = context.facts.get("image_name")
    if image:
        return [f"{image} was registered before that and stands; nothing else does", "next: invoke images"]
    return [
        f"nothing of it stands any more ({deleted} things deleted)",
        f"next: mend it, then invoke build {context.build.recipe}",
    ]


def _keep(context: Context, folder: BuildFolder) -> list[str]:
    # Before the cloud is asked: it may not answer, and a sweep must leave the builder alone all the same.
    context.journal.write("kept")
    things = leftovers(context.cloud, context.build.id)
    told = [f"stands: {thing}" for thing in things]
    address = context.facts.get("guest_address")
    if address:
        user = context.header.builder.admin_user
        told.append(f"log on at {address} as {user}; the password is in {folder.path / 'password'}")
    return [*told, "next: look at it, then invoke sweep --kept"]


def _save_console(context: Context, folder: BuildFolder) -> None:
    """The console log goes with the server: save it before anything is deleted."""
    server = context.facts.get("server_id")
    if server is None:
        return
    try:
        log = context.cloud.console_log(server)
        if log:  # Nova has none of a machine that is off
            folder.save("console.log", log)
    except (CloudError, OSError) as error:
        context.report.warn(f"the console log could not be saved: {error}")
