"""Tasks that make a pool: pool.network (which ends with 7 where only others can mend what is left), pool.create, pool.adopt."""

from typing import TYPE_CHECKING

from invoke import Context, task

from imagebuild.front.deferred import Deferred
from imagebuild.front.telling import CLOUD_HELP, JSON_HELP, settings_of, told, who_is_asked
from imagebuild.front.versions import VERSION_HELP

if TYPE_CHECKING:
    from imagebuild.jobs import pool_making
else:
    pool_making = Deferred("imagebuild.jobs.pool_making")

POOL_HELP = "the pool: a file in recipes/pools, without .yaml"


@task(
    positional=["pool"],
    help={"pool": POOL_HELP, "check": "compare only, change nothing", "cloud": CLOUD_HELP, "json": JSON_HELP},
)
def network(c: Context, pool: str, check: bool = False, cloud: str = "", json: bool = False) -> None:
    """Make the pool's network and security group as its file says; tell what is other."""
    with told(json=json) as report:
        pool_making.network(pool, settings_of(c, cloud), report, check=check)


@task(positional=["pool"], help={"pool": POOL_HELP, "to": VERSION_HELP, "cloud": CLOUD_HELP, "json": JSON_HELP})
def create(c: Context, pool: str, to: str = "", cloud: str = "", json: bool = False) -> None:
    """Make the desktops that the pool's file asks for and that are not there."""
    with told(json=json) as report:
        pool_making.create(pool, settings_of(c, cloud), report, version=to)


@task(
    positional=["pool"],
    help={
        "pool": POOL_HELP,
        "persistent": "names, with commas, of desktops that are one user's own: rolls leave them out",
        "yes": "do it without asking",
        "cloud": CLOUD_HELP,
        "json": JSON_HELP,
    },
)
def adopt(c: Context, pool: str, persistent: str = "", yes: bool = False, cloud: str = "", json: bool = False) -> None:
    """Take servers of the pool's names over, after saying which and why others stay out."""
    with told(json=json) as report:
        ask = who_is_asked(json=json)
        pool_making.adopt(pool, settings_of(c, cloud), report, yes=yes, ask=ask, persistent=persistent)
