"""Tasks that run by themselves, from a timer or from monitoring: rebuild, check."""

from typing import TYPE_CHECKING

from invoke import Context, Exit, task

from imagebuild.errors import UNCHANGED
from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, settings_of, told
from imagebuild.health import Limits
from imagebuild.report import SilentReport

if TYPE_CHECKING:
    from imagebuild.jobs import checking, rebuilding
else:
    checking = Deferred("imagebuild.jobs.checking")
    rebuilding = Deferred("imagebuild.jobs.rebuilding")


@task(
    iterable=["recipe"],
    help={
        "due": "only those with a reason: recipe, source, media or updates changed, or older than the recipe's policy",
        "recipe": "only this one; may be given several times (default: all whose policy lets them be rebuilt)",
        "parallel": "so many builds at once at most; the quota may allow fewer",
        "promote": "verify what was built, and promote what passes",
        "dry-run": "only say what would be built",
        "quiet": "say nothing while it runs, and nothing at all when there was nothing to do: for cron",
        "minutes": "one build may take so long; then it is asked to end, and undoes itself",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def rebuild(
    c: Context,
    recipe: list[str],
    due: bool = False,
    parallel: int = 2,
    promote: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    minutes: float = 720.0,
    cloud: str = "",
    json: bool = False,
) -> None:
    """Build the recipes again, or those that are due; exit code 4 when there was nothing to do."""
    wish = rebuilding.Wish(
        recipe, due=due, parallel=max(parallel, 1), promote=promote, dry_run=dry_run, minutes=minutes
    )
    with told(json=json) as report:
        summary = rebuilding.rebuild(wish, settings_of(c, cloud), SilentReport() if quiet else report)
        if not (quiet and summary.exit_code == UNCHANGED):
            summary.tell(report)
    if summary.exit_code:
        raise Exit(code=summary.exit_code)


@task(
    iterable=["recipe"],
    help={
        "recipe": "only this one, its claims and leftovers; may be given several times (default: all that are to be rebuilt)",
        "cloud": CLOUD_HELP,
        "warning-days": "a current image older than that is a warning",
        "critical-days": "a current image older than that is critical",
        "waiting-days": "a candidate that waits longer than that is a warning",
        "timeout-seconds": "an answer comes within that time, UNKNOWN if need be; keep it below your monitoring's own limit",
    },
)
def check(
    c: Context,
    recipe: list[str],
    cloud: str = "",
    warning_days: float = 30.0,
    critical_days: float = 45.0,
    waiting_days: float = 7.0,
    timeout_seconds: float = 50.0,
) -> None:
    """Age and health of the images, as a Nagios plugin: exit codes 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    limits = Limits(warning_days, critical_days, waiting_days)
    health = checking.check(settings_of(c, cloud), recipe, limits=limits, seconds=timeout_seconds)
    print("\n".join(health.lines()), flush=True)
    if health.level:
        raise Exit(code=int(health.level))
