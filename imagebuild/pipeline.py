"""The composition root: settings become adapters, a recipe becomes a plan, the runner walks it, and the end is told."""

import getpass
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imagebuild.steps  # noqa: F401  importing registers every step
from imagebuild.adapters.cloud_names import configured_clouds
from imagebuild.adapters.local_address import address_towards
from imagebuild.adapters.openstack_cloud import connect_cloud
from imagebuild.adapters.winrm_guest import connect_guest
from imagebuild.aftermath import conclude, undo
from imagebuild.build_folder import BuildFolder, build_folders, new_build_folder
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Cloud
from imagebuild.errors import ImagebuildError, Interrupted, RecipeError
from imagebuild.guest import Guest
from imagebuild.images import list_versions, table
from imagebuild.interruption import signals_as_interrupt
from imagebuild.journal import Journal
from imagebuild.lab import lifecycle
from imagebuild.lab.layout import ADMIN_CLOUD, CLOUD
from imagebuild.plan import Plan, describe_plan, make_plan
from imagebuild.recipe import Recipe, find_recipe, load_recipe
from imagebuild.record import fold
from imagebuild.report import Report
from imagebuild.resolution import STANDIN_PROPERTY, resolve
from imagebuild.runner import Failure, run_plan
from imagebuild.secrets import Secret
from imagebuild.step import Build, Context


@dataclass(frozen=True)
class Settings:
    """Where the project is, which cloud, and what to do with a builder that failed."""

    project: Path
    cloud: str | None = None
    on_error: Literal["keep", "undo"] = "undo"

    @property
    def recipes(self) -> Path:
        """The folder of recipes."""
        return self.project / "recipes"

    @property
    def templates(self) -> Path:
        """The folder of answer files."""
        return self.project / "unattend"

    @property
    def builds(self) -> Path:
        """Where builds keep their journals and logs."""
        return self.project / ".imagebuild" / "builds"


def build(name: str, settings: Settings, report: Report) -> str:
    """Build the recipe's next image and return its name. Raises ImagebuildError; then the report has said what stands and what to do."""
    recipe = load_recipe(find_recipe(name, folder=settings.recipes))
    began = time.monotonic()
    with signals_as_interrupt():
        cloud = open_cloud(settings, report)
        _tell_leftovers(cloud, settings, report)
        folder = new_build_folder(settings.builds, recipe.name)
        with Journal(folder.journal) as journal:
            host = {"host": platform.node(), "user": getpass.getuser(), "pid": os.getpid()}
            journal.write("build_begun", recipe=recipe.name, cloud=cloud.name, project=cloud.project_id, **host)
            with _undone_before_it_began(journal):
                plan, allow_from = _plan(recipe, cloud, settings, report)
            context = _context(plan, cloud, folder, journal, settings=settings, report=report)
            journal.write("planned", digest=plan.digest, image=plan.image_name, steps=[s.step.name for s in plan.steps])
            context.remember(**plan.resolution.facts, allow_from=allow_from)
            try:
                run_plan(plan, context, journal)
            except Failure as failure:
                context.disconnect()
                conclude(failure, context, folder, keep=settings.on_error == "keep")
                raise failure.error from failure
            context.disconnect()
            journal.write("build_done")
        folder.forget_password()
        record = fold(folder.entries())
        assert record is not None
        folder.save_json("record.json", record.as_json())
    image = context.facts["image_name"]
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    report.say(f"record: {folder.path / 'record.json'}; all versions: invoke images")
    report.say(
        f"built {image} ({context.facts['image_id']}) in {minutes}:{seconds:02d}",
        image=image,
        image_id=context.facts["image_id"],
        build=folder.id,
        digest=plan.digest,
        took_seconds=round(time.monotonic() - began, 1),
    )
    return str(image)


def plan(name: str, settings: Settings, report: Report) -> None:
    """Show what a build would do. Only reads."""
    recipe = load_recipe(find_recipe(name, folder=settings.recipes))
    made, _ = _plan(recipe, open_cloud(settings, report), settings, report)
    for line in describe_plan(made):
        report.say(line)
    report.say(f"nothing was touched; to do it: invoke build {recipe.name}", image=made.image_name, digest=made.digest)


def images(recipe: str | None, settings: Settings, report: Report) -> None:
    """List the versions that there are."""
    versions = list_versions(open_cloud(settings, report), recipe)
    if not versions:
        report.say("no images yet; to make one: invoke build win7-vdi", images=[])
        return
    heading, *lines = table(versions)
    report.say(heading)
    for line, one in zip(lines, versions, strict=True):
        told = {"id": one.image.id, "status": one.image.status, "protected": one.image.protected}
        report.say(line, image=one.image.name, recipe=one.recipe, version=one.version, **told)


def sweep(settings: Settings, report: Report, *, dry_run: bool, kept: bool, foreign: bool) -> int:
    """Delete what dead builds have left in the cloud; returns how many things were found.

    `kept`: also what --on-error keep was asked to keep. `foreign`: also builds that this machine knows nothing of.
    """
    cloud = open_cloud(settings, report)
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


def open_cloud(settings: Settings, report: Report) -> Cloud:
    """The cloud that was named, the only one that is configured, or the lab, brought up when it is not there."""
    name = settings.cloud or os.environ.get("OS_CLOUD")
    lab_names = (CLOUD, ADMIN_CLOUD)
    if not name:
        names = [one for one in configured_clouds() if one not in lab_names]
        if len(names) > 1:
            raise RecipeError(
                f"clouds.yaml has {', '.join(names)}: which one?", hint="say it: --cloud NAME, or export OS_CLOUD=NAME"
            )
        name = names[0] if names else CLOUD
    if name in lab_names:
        lab = lifecycle.up(report)
        return connect_cloud(name, config_files=[lab.clouds_yaml])
    return connect_cloud(name)


def _plan(recipe: Recipe, cloud: Cloud, settings: Settings, report: Report) -> tuple[Plan, str]:
    """The plan, and the address range that WinRM will be let in from."""
    with report.step("resolve", f"resolve: image, media, flavor, network and quota in {cloud.name}"):
        resolution = resolve(recipe, cloud)
        made = make_plan(recipe, resolution, templates=settings.templates)
        wanted = recipe.header.builder.allow_from
        allow_from = (
            address_towards(resolution.network.cidrs[0]) if wanted == "auto" and resolution.network.cidrs else wanted
        )
        report.note(f"{resolution.source.name} becomes {made.image_name}")
        if STANDIN_PROPERTY in resolution.source.properties:
            report.warn(
                "this source is the lab's stand-in, not Windows: what comes out proves the pipeline, and is no desktop"
            )
    return made, allow_from


def _context(
    plan: Plan, cloud: Cloud, folder: BuildFolder, journal: Journal, *, settings: Settings, report: Report
) -> Context:
    header = plan.recipe.header

    def connect(address: str, password: Secret, certificate: str | None) -> Guest:
        return connect_guest(
            address,
            user=header.builder.admin_user,
            password=password,
            certificate_sha256=certificate,
            insecure=header.builder.trust_any_certificate,
        )

    return Context(
        cloud=cloud,
        report=report,
        journal=journal,
        build=Build(folder.id, plan.recipe.name, plan.resolution.version, plan.image_name, plan.digest),
        header=header,
        folder=folder.path,
        templates=settings.templates,
        password=folder.password(),
        connect=connect,
    )


@contextmanager
def _undone_before_it_began(journal: Journal) -> Iterator[None]:
    """A build that fails before its first step has made nothing; its journal says so."""
    try:
        yield
    except ImagebuildError as error:
        journal.write("build_failed", message=str(error))
        journal.write("undone", deleted=[])
        raise
    except KeyboardInterrupt as error:
        journal.write("build_failed", message="interrupted")
        journal.write("undone", deleted=[])
        raise Interrupted("interrupted", hint="nothing had been made") from error


def _tell_leftovers(cloud: Cloud, settings: Settings, report: Report) -> None:
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
