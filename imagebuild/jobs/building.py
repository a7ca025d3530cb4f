"""Building: a recipe becomes a plan, the runner walks it, and the end is told."""

import getpass
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imagebuild.aftermath import conclude
from imagebuild.build_folder import BuildFolder, new_build_folder
from imagebuild.cloud import Cloud
from imagebuild.errors import ImagebuildError, Interrupted
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.builds import tell_leftovers
from imagebuild.jobs.settings import Settings
from imagebuild.journal import Journal
from imagebuild.plan import Plan, describe_plan, make_plan
from imagebuild.properties import STANDIN
from imagebuild.recipe import Recipe, find_recipe, load_recipe
from imagebuild.record import fold
from imagebuild.report import Report
from imagebuild.resolution import resolve
from imagebuild.runner import Failure, run_plan
from imagebuild.step import Build, Context


def build(name: str, settings: Settings, report: Report) -> str:
    """Build the recipe's next image and return its name. Raises ImagebuildError; then the report has said what stands and what to do."""
    recipe = load_recipe(find_recipe(name, folder=settings.recipes))
    began = time.monotonic()
    with signals_as_interrupt():
        cloud = settings.open_cloud(report)
        tell_leftovers(cloud, settings, report)
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
    made, _ = _plan(recipe, settings.open_cloud(report), settings, report)
    for line in describe_plan(made):
        report.say(line)
    report.say(f"nothing was touched; to do it: invoke build {recipe.name}", image=made.image_name, digest=made.digest)


def _plan(recipe: Recipe, cloud: Cloud, settings: Settings, report: Report) -> tuple[Plan, str]:
    """The plan, and the address range that WinRM will be let in from."""
    with report.step("resolve", f"resolve: image, media, flavor, network and quota in {cloud.name}"):
        resolution = resolve(recipe, cloud)
        made = make_plan(recipe, resolution, templates=settings.templates)
        wanted = recipe.header.builder.allow_from
        allow_from = (
            settings.address_towards(resolution.network.cidrs[0])
            if wanted == "auto" and resolution.network.cidrs
            else wanted
        )
        report.note(f"{resolution.source.name} becomes {made.image_name}")
        if STANDIN in resolution.source.properties:
            report.warn(
                "this source is the lab's stand-in, not Windows: what comes out proves the pipeline, and is no desktop"
            )
    return made, allow_from


def _context(
    plan: Plan, cloud: Cloud, folder: BuildFolder, journal: Journal, *, settings: Settings, report: Report
) -> Context:
    header = plan.recipe.header

    connect = settings.connector(
        user=header.builder.admin_user, trust_any_certificate=header.builder.trust_any_certificate
    )
    return Context(
        cloud=cloud,
        report=report,
        journal=journal,
        build=Build(folder.id, plan.recipe.name, plan.resolution.version, plan.image_name, plan.digest, plan.content),
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
