"""A change that two people must not make at once: it is made under a claim in the cloud, by a run that this machine knows to be alive."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from imagebuild.build_folder import build_folders, new_build_folder
from imagebuild.claim import Purpose, Seed, hold, renew
from imagebuild.cloud import Cloud
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.sweeping import is_dead_here
from imagebuild.jobs.walking import host_facts
from imagebuild.journal import Journal
from imagebuild.report import Report

_CLAIM_SECONDS = 900.0


@contextmanager
def changing(
    verb: str,
    name: str,
    *,
    purpose: Purpose,
    seed: Seed,
    cloud: Cloud,
    settings: Settings,
    report: Report,
) -> Iterator[Callable[[], object]]:
    """Hold the claim on a recipe or a pool while it is changed. Gives what a change of more than some minutes calls to keep it.

    The folder is for its lock: of a run of this machine that was killed it is known at once that it is dead. Raises Busy.
    """
    with ExitStack() as stack:
        stack.enter_context(signals_as_interrupt())
        folder = new_build_folder(settings.builds, f"{verb}-{name}")
        stack.callback(folder.remove)
        journal = stack.enter_context(Journal(folder.journal))
        what = {"kind": "change", "recipe": name, "project": cloud.project_id}
        journal.write("build_begun", cloud=cloud.name, **what, **host_facts())
        held = hold(
            cloud,
            name,
            purpose=purpose,
            seed=seed,
            owner=folder.id,
            lifetime_seconds=_CLAIM_SECONDS,
            is_dead=partial(is_dead_here, settings=settings),
            report=report,
        )
        claim = stack.enter_context(held)
        _forget_dead_runs(what, settings)
        yield lambda: renew(cloud, claim, _CLAIM_SECONDS)


def _forget_dead_runs(what: dict[str, str], settings: Settings) -> None:
    """Remove the folders of runs that were killed: who holds the claim has taken theirs over, and they had nothing else."""
    for folder in build_folders(settings.builds):
        begun = next(iter(folder.entries()), None)
        if begun and what.items() <= begun.facts.items() and not folder.is_alive():
            folder.remove()
