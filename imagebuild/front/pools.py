"""Tasks that roll a pool: pool.plan, roll, status, pause, continue, abort, rollback.

Exit codes: 0 completed, 3 completed but some desktops were skipped or failed, 4 halted, 5 aborted, 6 it waits for pool.continue, 2 it may
not begin, or nobody said yes.
"""

from typing import TYPE_CHECKING

from invoke import Context, Exit, task

from imagebuild.front.deferred import Deferred
from imagebuild.front.pool_making import POOL_HELP
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, screen_for, settings_of, told, who_is_asked
from imagebuild.front.versions import VERSION_HELP

if TYPE_CHECKING:
    from imagebuild.jobs import pools
else:
    pools = Deferred("imagebuild.jobs.pools")

TO_HELP = f"{VERSION_HELP} (default: the current version of the pool's recipe)"
HELP = {"pool": POOL_HELP, "cloud": CLOUD_HELP, "json": JSON_HELP}
YES_HELP = "do it without asking"


def _end(code: int) -> None:
    """Let Invoke end with that code; what there is to say is said."""
    if code:
        raise Exit(None, code=code)


@task(positional=["pool"], help={**HELP, "to": TO_HELP})
def plan(c: Context, pool: str, to: str = "", cloud: str = "", json: bool = False) -> None:
    """Show what a roll would do to each desktop, and whether it may begin."""
    with told(json=json) as report:
        pools.plan(pool, settings_of(c, cloud), report, to=to)


@task(
    positional=["pool"],
    help={**HELP, "to": TO_HELP, "canary": "names, with commas, of desktops that go first", "yes": YES_HELP},
)
def roll(
    c: Context, pool: str, to: str = "", canary: str = "", yes: bool = False, cloud: str = "", json: bool = False
) -> None:
    """Move a pool to a version of its image, the canary first, without touching a user."""
    screen = screen_for(json=json)
    with told(json=json, screen=screen) as report:
        ask = who_is_asked(json=json)
        settings = settings_of(c, cloud)
        code = pools.roll(pool, settings, report, to=to, canary=canary, yes=yes, ask=ask, screen=screen)
    _end(code)


@task(name="continue", positional=["pool"], help=HELP)
def go_on(c: Context, pool: str, cloud: str = "", json: bool = False) -> None:
    """Go on with a roll: past the canary, after a pause, a halt or a crash; also on another machine."""
    screen = screen_for(json=json)
    with told(json=json, screen=screen) as report:
        code = pools.go_on(pool, settings_of(c, cloud), report, screen=screen)
    _end(code)


@task(positional=["pool"], help=HELP)
def status(c: Context, pool: str, cloud: str = "", json: bool = False) -> None:
    """Tell how a pool stands, and how its last roll is; ends with the roll's exit code."""
    with told(json=json) as report:
        code = pools.status(pool, settings_of(c, cloud), report)
    _end(code)


@task(positional=["pool"], help=HELP)
def pause(c: Context, pool: str, cloud: str = "", json: bool = False) -> None:
    """Ask a roll, wherever it runs, to finish what it has in hand and wait."""
    with told(json=json) as report:
        pools.pause(pool, settings_of(c, cloud), report)


@task(positional=["pool"], help=HELP)
def abort(c: Context, pool: str, cloud: str = "", json: bool = False) -> None:
    """End a roll for good; desktops that it has not begun keep their image."""
    screen = screen_for(json=json)
    with told(json=json, screen=screen) as report:
        code = pools.abort(pool, settings_of(c, cloud), report, screen=screen)
    _end(code)


@task(
    positional=["pool"], help={**HELP, "to": "the image to go back to (default: what most had before)", "yes": YES_HELP}
)
def rollback(c: Context, pool: str, to: str = "", yes: bool = False, cloud: str = "", json: bool = False) -> None:
    """Take the desktops that a roll has moved back to their previous image, after saying what users may lose."""
    screen = screen_for(json=json)
    with told(json=json, screen=screen) as report:
        ask = who_is_asked(json=json)
        code = pools.rollback(pool, settings_of(c, cloud), report, to=to, yes=yes, ask=ask, screen=screen)
    _end(code)
