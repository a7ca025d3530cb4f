"""Building: a recipe becomes a plan, the claim on its next version is taken, the steps are walked."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from imagebuild.attendant import Wishes
from imagebuild.build_folder import BuildFolder, new_build_folder
from imagebuild.checkpoints import find_start
from imagebuild.claim import Claim, take
from imagebuild.cleaning import leftovers, remove
from imagebuild.cloud import Cloud, Image
from imagebuild.errors import ImagebuildError, Interrupted
from imagebuild.freshness import find_same
from imagebuild.images import Version, next_version
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.sweeping import is_dead_here, tell_dead_builds
from imagebuild.jobs.walking import CLAIM_SECONDS, Built, host_facts, walk
from imagebuild.journal import Journal
from imagebuild.plan import Plan, describe_plan, make_plan
from imagebuild.plan_outline import outline
from imagebuild.properties import REASON, STANDIN
from imagebuild.recipe import Recipe, find_recipe, load_recipe
from imagebuild.report import Report
from imagebuild.resolution import resolve
from imagebuild.step import Build, Context
from imagebuild.waiting import Deadline

PLAN_FILE = "plan.json"
_FORGET_SECONDS = 60


def build(
    name: str,
    settings: Settings,
    report: Report,
    *,
    wishes: Wishes | None = None,
    if_changed: bool = False,
    fresh: bool = False,
) -> Built:
    """Build the recipe's next image. Raises ImagebuildError, whose `after` says what stands and what to do.

    `if_changed`: nothing is done when an image of the very same plan is there. `fresh`: checkpoints are not looked for.
    """
    began, wishes = time.monotonic(), wishes or Wishes()
    recipe = load_recipe(find_recipe(name, folder=settings.recipes))
    wishes.check([step.name for step in recipe.steps], settings.terminal())
    with signals_as_interrupt():
        with _nothing_made():
            cloud = settings.open_cloud(report)
            seen = cloud.images()
            plan = make_plan_in(cloud, recipe, settings, report, seen=seen)
            if if_changed and (same := find_same(plan, cloud)):
                return _tell_unchanged(same, plan, report)
            allow_from = _allow_from(plan, settings)
            tell_dead_builds(cloud, settings, report)
        folder = new_build_folder(settings.builds, recipe.name)
        with Journal(folder.journal) as journal:
            with _only_a_claim_made(cloud, folder, report):
                claim = _claim(plan, cloud, journal, seen=seen, owner=folder.id, settings=settings, report=report)
                plan = replace(plan, resolution=replace(plan.resolution, version=int(claim.seed)))
                context = make_context(plan, cloud, folder, journal, settings=settings, report=report)
                skip = _write_plan(plan, context, folder, allow_from=allow_from, fresh=fresh)
            return walk(plan, context, folder, claim, skip=skip, wishes=wishes, settings=settings, began=began)


def plan(name: str, settings: Settings, report: Report) -> None:
    """Show what a build would do. Only reads."""
    recipe = load_recipe(find_recipe(name, folder=settings.recipes))
    cloud = settings.open_cloud(report)
    made = make_plan_in(cloud, recipe, settings, report)
    start = find_start(made, cloud, tell=report.note)
    for line in describe_plan(made, skip=start.skip if start else (), start=str(start) if start else ""):
        report.say(line)
    told = {"image": made.image_name, "digest": made.digest}
    report.say(f"nothing was touched; to do it: invoke build {recipe.file_name}", **told)


def make_plan_in(
    cloud: Cloud, recipe: Recipe, settings: Settings, report: Report, *, seen: Sequence[Image] | None = None
) -> Plan:
    """Look up what the recipe's names mean in this cloud, and plan. Only reads. `seen`: the project's images, by who has just looked."""
    with report.step("resolve", f"resolve: image, media, flavor, network and quota in {cloud.name}"):
        resolution = resolve(recipe, cloud, seen=seen)
        made = make_plan(recipe, resolution, templates=settings.templates)
        report.note(f"{resolution.source.name} becomes {made.image_name}")
        if STANDIN in resolution.source.properties:
            report.warn(
                "this source is the lab's stand-in, not Windows: what comes out proves the pipeline, and is no desktop"
            )
    return made


def make_context(
    plan: Plan, cloud: Cloud, folder: BuildFolder, journal: Journal, *, settings: Settings, report: Report
) -> Context:
    """What the steps of this build may touch."""
    header, resolution = plan.recipe.header, plan.resolution
    return Context(
        cloud=cloud,
        report=report,
        journal=journal,
        build=Build(folder.id, plan.recipe.name, resolution.version, plan.image_name, plan.digest, plan.content),
        header=header,
        folder=folder.path,
        templates=settings.templates,
        password=folder.password(),
        connect=settings.connector(
            user=header.builder.admin_user, trust_any_certificate=header.builder.trust_any_certificate
        ),
    )


def _tell_unchanged(same: Version, plan: Plan, report: Report) -> Built:
    words = f"unchanged: {same.name} ({same.state}) is what {plan.recipe.file_name} would give now"
    if same.state == "rejected":
        why = same.image.properties.get(REASON, "nobody said why")
        words += f"; it was rejected ({why}), so change something, or build without --if-changed"
    report.say(words, image=same.name, image_id=same.image.id, digest=plan.digest, changed=False)
    return Built(same.name, same.image.id, changed=False)


def _allow_from(plan: Plan, settings: Settings) -> str:
    """The address range that WinRM will be let in from."""
    wanted = plan.recipe.header.builder.allow_from
    return settings.address_towards(plan.resolution.network.cidrs[0]) if wanted == "auto" else wanted


def _claim(
    plan: Plan,
    cloud: Cloud,
    journal: Journal,
    *,
    seen: Sequence[Image],
    owner: str,
    settings: Settings,
    report: Report,
) -> Claim:
    """The claim on the recipe's next version. Written down first whose it is, so that whatever happens it is found again."""
    recipe = plan.recipe
    told = {"recipe": recipe.name, "file": str(recipe.path.resolve()), "cloud": cloud.name, "project": cloud.project_id}
    journal.write("build_begun", **told, **host_facts())

    def seed(images: Sequence[Image]) -> str:
        """Of what the plan was made from, it has the number already."""
        number = plan.resolution.version if images is seen else next_version(cloud, recipe.name, among=images)
        return str(number)

    return take(
        cloud,
        recipe.name,
        purpose="build",
        seed=seed,
        owner=owner,
        lifetime_seconds=plan.steps[0].step.deadline_minutes * 60 + CLAIM_SECONDS,
        is_dead=lambda other: is_dead_here(other, settings),
        report=report,
        seen=seen,
    )


def _write_plan(plan: Plan, context: Context, folder: BuildFolder, *, allow_from: str, fresh: bool) -> frozenset[int]:
    """All that a resumed build must know. Gives the numbers of the steps that a checkpoint saves."""
    steps = [planned.step.name for planned in plan.steps]
    told = {"image": plan.image_name, "version": plan.resolution.version, "moment": plan.at.isoformat(), "steps": steps}
    folder.save_json(PLAN_FILE, outline(plan, templates=context.templates))
    context.journal.write("planned", digest=plan.digest, **told)
    context.remember(**plan.resolution.facts, allow_from=allow_from)
    start = None if fresh else find_start(plan, context.cloud, tell=context.report.note)
    if start is None:
        return frozenset()
    context.report.note(str(start))
    context.remember(**start.facts)
    context.journal.write("skipped", numbers=sorted(start.skip), image=start.image.id)
    return start.skip


@contextmanager
def _nothing_made() -> Iterator[None]:
    """Ctrl-C while only reading."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", hint="nothing had been made") from error


@contextmanager
def _only_a_claim_made(cloud: Cloud, folder: BuildFolder, report: Report) -> Iterator[None]:
    """What fails before the first step has made a claim at most: that goes, and the build with it.

    When the claim cannot be removed now, the folder stays: then `invoke sweep` knows whose it is.
    """
    try:
        yield
    except OSError as error:
        _forget(cloud, folder, report)
        words = f"the plan cannot be written into {folder.path}: {error.strerror or error}"
        raise ImagebuildError(words, hint="free disk space, then run again") from error
    except (ImagebuildError, KeyboardInterrupt) as error:
        _forget(cloud, folder, report)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("interrupted", hint="nothing had been made") from error
        raise


def _forget(cloud: Cloud, folder: BuildFolder, report: Report) -> None:
    try:
        remove(cloud, leftovers(cloud, folder.id), report=report, deadline=Deadline.after(_FORGET_SECONDS))
        folder.remove()
    except (ImagebuildError, OSError) as error:
        report.warn(f"{folder.id} may have left its claim: {error}; `invoke sweep` looks for it")
