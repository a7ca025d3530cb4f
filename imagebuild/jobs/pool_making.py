"""What makes a pool: its network and security group, its first desktops, servers that are taken over."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from imagebuild.adapters.brokers import open_broker
from imagebuild.cloud import Cloud
from imagebuild.errors import BrokerError, LeftToOthers, StepFailed
from imagebuild.images import find_version
from imagebuild.jobs.changing import changing
from imagebuild.jobs.settings import Settings
from imagebuild.pool.adoption import Adoption, adopt_all, find_adoptions
from imagebuild.pool.definition import PoolDefinition
from imagebuild.pool.network import compare_network, make_network
from imagebuild.pool.pool_file import find_pool, load_pool
from imagebuild.pool.provision import Made, broker_clashes, create_desktops, find_parts
from imagebuild.pool.quantities import count_of
from imagebuild.report import Report

MEMBERS = "members"
"""What a claim says that is held to change a pool's members, and not to roll them: nobody asks it to pause."""


def read_pool(name: str, settings: Settings) -> PoolDefinition:
    """The pool's file, checked. Raises RecipeError."""
    return load_pool(find_pool(name, folder=settings.pools))


def network(name: str, settings: Settings, report: Report, *, check: bool) -> None:
    """Make the pool's network and security group, or with `check` only compare them.

    Raises StepFailed, a line a difference; LeftToOthers where each is one that only others can mend.
    """
    definition = read_pool(name, settings)
    cloud = settings.open_cloud(report)
    if check:
        unlike = compare_network(definition, cloud)
    else:
        with (
            _making("network", definition, cloud, settings, report),
            report.step("network", f"the network of {definition.pool}"),
        ):
            unlike = make_network(definition, cloud, report=report)
    if unlike:
        words, details = f"the network of {definition.pool} is not as its file says", [str(one) for one in unlike]
        if all(one.todo for one in unlike):
            todo = "others must do what is named above; or the pool's file is to say what is there"
            raise LeftToOthers(words, hint=todo, details=details)
        raise StepFailed(words, hint=f"mend what is ours: invoke pool.network {name}", details=details)
    report.say(f"{definition.network} and {definition.security_group} are as {name} wants them", pool=definition.pool)
    if not check:
        report.say(f"next: invoke pool.create {name}")


def create(name: str, settings: Settings, report: Report, *, version: str = "") -> Made:
    """Make the pool's missing desktops from its recipe's current version, or from the one named."""
    definition = read_pool(name, settings)
    cloud = settings.open_cloud(report)
    parts = find_parts(definition, cloud, version=find_version(cloud, version or definition.recipe, borrowed=True))
    _warn_of_broker(definition, settings, report)
    with (
        _making("create", definition, cloud, settings, report) as keep,
        report.step("create", f"the desktops of {definition.pool} from {parts.version.name}"),
    ):
        made = create_desktops(definition, cloud, parts, keep=keep, report=report)
    words = f"{definition.pool} has {count_of(len(made.made) + len(made.there), 'desktop')}, new: {len(made.made)}"
    report.say(words, pool=definition.pool, image=parts.version.name, made=made.made, there=made.there)
    for words in made.broken:
        report.warn(f"{words} (delete it, and invoke pool.create {name} makes it anew; or a roll does)")
    if made.made:
        report.say("the broker shows them to users when it has scanned the cloud and their agents have reported")
    report.say(f"next: invoke pool.plan {name}")
    return made


def adopt(
    name: str, settings: Settings, report: Report, *, yes: bool, ask: Callable[[str], bool], persistent: str = ""
) -> int:
    """Show the servers whose names are like the pool's, and take over those that can be when `yes` or `ask` says so; gives how many.

    `persistent`: names, with commas between, of those that are one user's own.
    """
    definition = read_pool(name, settings)
    cloud = settings.open_cloud(report)
    found = find_adoptions(definition, cloud)
    for one in found:
        told = {"server": one.server.id, "name": one.server.name, "member": one.member, "obstacle": one.obstacle}
        report.say(str(one), **told)
    free = [one for one in found if not (one.member or one.obstacle)]
    if not free:
        report.say(_nothing_to_adopt(definition, found), adopted=0)
        return 0
    if not (yes or ask(f"take over {count_of(len(free), 'server')} for {definition.pool}")):
        report.say(f"nothing was changed; to do it: invoke pool.adopt {name} --yes", adopted=0)
        return 0
    own = frozenset(one.strip().casefold() for one in persistent.split(",") if one.strip())
    with (
        _making("adopt", definition, cloud, settings, report),
        report.step("adopt", f"take over {count_of(len(free), 'server')} for {definition.pool}"),
    ):
        taken = adopt_all(definition, cloud, persistent=own, report=report)
    report.say(
        f"{definition.pool} has {count_of(len(taken), 'desktop')} more", pool=definition.pool, adopted=len(taken)
    )
    report.say(f"next: invoke pool.plan {name}")
    return len(taken)


def _nothing_to_adopt(definition: PoolDefinition, found: Sequence[Adoption]) -> str:
    if not found:
        return f"no server is called {definition.names}"
    if all(one.member for one in found):
        return f"every server called {definition.names} is {definition.pool}'s already"
    return f"there is no server that {definition.pool} could take over"


def _making(
    verb: str, definition: PoolDefinition, cloud: Cloud, settings: Settings, report: Report
) -> AbstractContextManager[Callable[[], object]]:
    """Hold the pool's claim, which a roll holds, too: neither two of these at once, nor one beside a roll."""
    return changing(
        verb,
        definition.pool,
        purpose="roll",
        seed=lambda images: MEMBERS,
        cloud=cloud,
        settings=settings,
        report=report,
    )


def _warn_of_broker(definition: PoolDefinition, settings: Settings, report: Report) -> None:
    """A broker that makes desktops of the same names itself must not be overlooked; one that does not answer stops nothing here."""
    try:
        with open_broker(definition.broker, folder=settings.project) as broker:
            clashes = list(broker_clashes(definition, broker.settings(definition.pool)))
    except BrokerError as error:
        clashes = [f"the broker cannot be asked whether it makes desktops by itself: {error}"]
    for words in clashes:
        report.warn(words)
