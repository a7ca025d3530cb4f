"""Tasks of the day-to-day: check."""

from invoke import Context, Exit, task

from imagebuild.front.telling import CLOUD_HELP, settings_of
from imagebuild.health import Limits
from imagebuild.jobs import checking


@task(
    iterable=["recipe"],
    help={
        "recipe": "only this one; may be given several times (default: all that are to be rebuilt)",
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
