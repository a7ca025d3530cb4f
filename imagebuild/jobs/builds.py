"""The builds of this machine: which there are, what became of each, what of them stands in the cloud, and how one is taken back."""

import textwrap
from dataclasses import replace

from imagebuild.aftermath import undo as undo_build
from imagebuild.build_folder import build_folders, find_build, is_build_id
from imagebuild.build_state import BuildState, read_state
from imagebuild.claim import break_claim, claims
from imagebuild.cleaning import Leftover, leftovers
from imagebuild.cloud import Cloud
from imagebuild.errors import Busy, CloudError, ImagebuildError, RecipeError
from imagebuild.jobs.settings import Settings
from imagebuild.report import Report

NEWEST = 10
_PLACE_LENGTH = 90  # the whole of it is in builds.show


def list_builds(settings: Settings, report: Report, *, every: bool = False) -> None:
    """A line a build: all that are not over, and the newest of those that are (`every`: all). Then what other machines have made."""
    states = [read_state(folder) for folder in build_folders(settings.builds)]
    over = [state for state in states if state.is_over]
    hidden = set() if every else {state.folder.id for state in over[:-NEWEST]}
    standing = _standing(settings, report)
    for state in states:
        if state.folder.id not in hidden or state.folder.id in standing:
            things = standing.get(state.folder.id, [])
            report.say(_line(state, len(things)), build=state.folder.id, state=state.word, standing=_named(things))
    if hidden:
        report.say(f"and {len(hidden)} older ones that are over: invoke builds --all")
    known = {state.folder.id for state in states}
    for owner, things in standing.items():
        if owner not in known:
            words = f"{owner:40s} foreign  another machine's; {_stand(len(things))}"
            report.say(words, build=owner, state="foreign", standing=_named(things))
    if not states and not standing:
        report.say("no builds yet; to make one: invoke build RECIPE", build=None)
    unfinished = [state for state in states if not state.is_over and state.next_command]
    if unfinished:
        report.say(f"next: {unfinished[-1].next_command}")


def show(text: str, settings: Settings, report: Report) -> None:
    """All that is known of one build."""
    state = read_state(find_build(settings.builds, text))
    folder, record = state.folder, state.record
    report.say(f"{folder.id}: {state.word} {state.place}".rstrip(), build=folder.id, state=state.word)
    if record:
        report.say(f"  of {record.recipe} in {record.cloud}, begun {record.begun_at[:19].replace('T', ' ')} UTC")
        if record.planned_name:
            report.say(f"  {record.image_name or f'to become {record.planned_name}'}, digest {record.digest[:12]}")
        for step, seconds in record.seconds.items():
            report.say(f"  {step:18s} {seconds:8.1f} s", step=step, took_seconds=seconds)
    things = _standing(replace(settings, cloud=settings.cloud or (record.cloud if record else None)), report)
    for thing in things.get(folder.id, []):
        report.say(f"  stands: {thing}", kind=thing.kind, id=thing.id)
    files = sorted(path.relative_to(folder.path) for path in folder.path.rglob("*") if path.is_file())
    report.say(f"  files in {folder.path}: {', '.join(map(str, files))}")
    if state.next_command:
        report.say(f"next: {state.next_command}")


def undo(text: str, settings: Settings, report: Report) -> int:
    """Delete everything of a build that is not alive; returns how many things went. Another machine's is named by its whole id."""
    try:
        folder = find_build(settings.builds, text)
    except RecipeError:
        if not is_build_id(text):
            raise
        return _undo_foreign(text, settings, report)
    state = read_state(folder)
    cloud = replace(settings, cloud=settings.cloud or (state.record.cloud if state.record else None)).open_cloud(report)
    if state.record and state.record.project not in ("", cloud.project_id):
        raise ImagebuildError(
            f"{folder.id} was begun in another project ({state.record.cloud}) than that of {cloud.name}",
            hint="give the cloud that it was begun in: --cloud",
        )
    if state.word == "built":  # there is nothing to take back, and its journal goes on saying so
        things = leftovers(cloud, folder.id)
        if not things:
            report.say(f"{folder.id} is done and has left nothing; its image: invoke images", deleted=0)
            return 0
    deleted = undo_build(cloud, folder, folder.id, report=report)
    report.say(f"undone: nothing of {folder.id} stands any more ({deleted} things deleted)", deleted=deleted)
    return deleted


def _undo_foreign(owner: str, settings: Settings, report: Report) -> int:
    """The same for a build that is known here only by what it has left in the cloud. Raises Busy when its claim says that it lives."""
    cloud = settings.open_cloud(report)
    if not leftovers(cloud, owner):
        raise RecipeError(f"neither this machine nor {cloud.name} has anything of {owner}", hint="see: invoke builds")
    for claim in claims(cloud):
        if claim.owner == owner and not claim.is_over():
            todo = f"invoke builds.unclaim {claim.recipe} --break-claim"
            raise Busy(str(claim), hint=f"wait for it; if you know that it is dead: {todo}, then this again")
    deleted = undo_build(cloud, None, owner, report=report)
    report.say(f"undone: nothing of {owner} stands any more ({deleted} things deleted)", deleted=deleted)
    return deleted


def unclaim(recipe: str, settings: Settings, report: Report, *, broken: bool) -> None:
    """Show who has claimed a recipe; `broken`: take the claims away, whoever holds them."""
    cloud = settings.open_cloud(report)
    found = break_claim(cloud, recipe) if broken else claims(cloud, recipe)
    for claim in found:
        told = {"recipe": claim.recipe, "owner": claim.owner, "holder": claim.holder, "broken": broken}
        report.say(f"{'broken: ' if broken else ''}{claim}", **told)
    if not found:
        report.say(f"nobody has claimed {recipe}", recipe=recipe)
    elif broken:
        report.say("a build that held one ends before its next step and cleans up after itself")
    else:
        report.say(f"next: if you know that it is dead, invoke builds.unclaim {recipe} --break-claim")


def _standing(settings: Settings, report: Report) -> dict[str, list[Leftover]]:
    """What stands in the cloud, by owner; nothing, and a warning, when the cloud cannot be asked."""
    try:
        cloud: Cloud = settings.open_cloud_as_it_is()
        found: dict[str, list[Leftover]] = {}
        for thing in leftovers(cloud):
            found.setdefault(thing.owner, []).append(thing)
    except (CloudError, ImagebuildError) as error:
        report.warn(f"what stands in the cloud is not known: {error}")
        return {}
    return found


def _line(state: BuildState, things: int) -> str:
    begun = state.record.begun_at[:16].replace("T", " ") if state.record else ""
    stands = f"; {_stand(things)}" if things else ""
    place = textwrap.shorten(state.place, _PLACE_LENGTH, placeholder=" ...")
    return f"{state.folder.id:40s} {state.word:8s} {begun:16s} {place}{stands}"


def _stand(things: int) -> str:
    return "1 thing stands" if things == 1 else f"{things} things stand"


def _named(things: list[Leftover]) -> list[str]:
    return [str(thing) for thing in things]
