"""Proving an image as a person asks for it: `invoke verify`. Clones carry the id of their verification as builders carry their build's."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from imagebuild.adapters.desktop_port import desktop_answers
from imagebuild.adapters.registrations import HttpRegistrations
from imagebuild.build_folder import BuildFolder, new_build_folder
from imagebuild.claim import take
from imagebuild.cleaning import leftovers, remove
from imagebuild.clones import Clone, Ways, watch
from imagebuild.cloud import Cloud
from imagebuild.errors import (
    Busy,
    CloudError,
    DeadlinePassed,
    ImagebuildError,
    Interrupted,
    RecipeError,
    VerificationFailed,
    VersionRefused,
)
from imagebuild.images import Version
from imagebuild.interruption import signals_as_interrupt
from imagebuild.jobs.promises import builder_certificate, find_promises
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.sweeping import tell_dead_builds
from imagebuild.jobs.version_changes import changing_versions
from imagebuild.jobs.walking import host_facts
from imagebuild.journal import Journal
from imagebuild.recipe import Recipe, find_recipe, load_recipe
from imagebuild.recipe_header import NOBODY
from imagebuild.report import Report, SilentReport
from imagebuild.verification import (
    Place,
    Verdict,
    boot_clones,
    check_room,
    conclude,
    pick_version,
    record_verdict,
    table,
)
from imagebuild.waiting import Deadline, wait_for

_REMOVE_SECONDS = 300
_RECORD_SECONDS = 300  # a promotion holds the claim for seconds, a prune of many versions for minutes
_PICTURE_SECONDS = 10
_MOST_CLONES = 8


def verify(text: str, settings: Settings, report: Report, *, clones: int | None = None, keep: bool = False) -> Verdict:
    """Prove a version by clones of it, and write onto the image what came of it.

    `text`: a version's name or id, or a recipe for its newest candidate (without one: its current version). `clones`: how many,
    instead of the recipe's number. `keep` leaves them standing. Raises VerificationFailed unless all is well.
    """
    if clones is not None and not 1 <= clones <= _MOST_CLONES:
        raise RecipeError(f"--clones is {clones}", hint=f"1 to {_MOST_CLONES}")
    with signals_as_interrupt():
        cloud = settings.open_cloud(report)
        tell_dead_builds(cloud, settings, report)
        version = pick_version(cloud, text)
        if version.image.status != "active":
            raise VersionRefused(
                f"{version.name} is {version.image.status}: nothing can be booted from it",
                hint="an administrator of the cloud can reactivate it",
            )
        recipe = load_recipe(find_recipe(version.recipe, folder=settings.recipes))
        place = _find_place(recipe, cloud, settings)
        count = clones or recipe.header.verify.clones
        check_room(cloud, place.flavor, count=count)
        folder = new_build_folder(settings.builds, f"verify-{version.name}")
        with Journal(folder.journal) as journal:
            work = _Verification(cloud, version, recipe, folder, journal, settings, report)
            try:
                verdict = work.run(place, count=count)
                now = work.record(verdict)
            except KeyboardInterrupt as error:
                raise Interrupted("interrupted", hint="nothing was written onto the image") from error
            finally:
                work.leave(keep=keep)
    _tell(now, verdict, folder, report)
    return verdict


@dataclass(frozen=True)
class _Verification:
    """One verification, from its clones' creation to their end. Its folder's name is the owner of all that it makes."""

    cloud: Cloud
    version: Version
    recipe: Recipe
    folder: BuildFolder
    journal: Journal
    settings: Settings
    report: Report

    def run(self, place: Place, *, count: int) -> Verdict:
        """Boot the clones, watch them, judge them; result and evidence are saved before anything is deleted."""
        cloud, image = self.cloud, self.version.image
        about = {"kind": "verify", "version": self.version.name, "version_id": image.id}
        begun = {"recipe": self.recipe.name, "cloud": cloud.name, "project": cloud.project_id}
        self.journal.write("build_begun", **begun, **about, **host_facts())
        seconds = self.recipe.header.verify.deadline_minutes * 60
        self._claim(seconds + _RECORD_SECONDS + _REMOVE_SECONDS)
        deadline = Deadline.after(seconds)
        wanted, ways = find_promises(self.version, self.recipe, self.settings), self._ways()
        where = f"{place.flavor.name} in {place.network.name}"
        with self.report.step("boot-clones", f"boot {_count(count, 'clone')} of {image.name}: {where}"):
            at, owner = deadline.clock.now(), self.folder.id
            servers = boot_clones(cloud, image, place, owner=owner, count=count, password=self.folder.password())
        with self.report.step("look", "look into each: address, identity, Remote Desktop, drivers, agent, traces"):
            clones = [Clone(server, at, ways, wanted) for server in servers]
            verdict = conclude(wanted, watch(clones, ways, deadline=deadline))
        self.journal.write("verdict", words=f"{self.version.name} {verdict.outcome}")
        self._save_results(clones, verdict)
        return verdict

    def _claim(self, seconds: float) -> None:
        """A claim that is in nobody's way, because it is on this verification itself: by it `sweep --foreign` knows that it lives.

        It goes with all the rest that this verification owns.
        """
        take(
            self.cloud,
            self.folder.id,
            purpose="verify",
            seed=lambda images: "1",
            owner=self.folder.id,
            lifetime_seconds=seconds,
            is_dead=lambda owner: False,
            report=self.report,
        )

    def record(self, verdict: Verdict) -> Version:
        """Write the verdict onto the image while nobody else changes the recipe's versions; who does is waited for, DeadlinePassed."""
        with ExitStack() as stack:
            if verdict.outcome != "inconclusive":  # of which nothing is written
                recipe = self.version.recipe

                def claim() -> bool:
                    held = changing_versions("verify", recipe, self.cloud, self.settings, self.report)
                    stack.enter_context(held)
                    return True

                what, deadline = f"the claim on {recipe}'s versions", Deadline.after(_RECORD_SECONDS)
                hint = f"the verdict ({verdict.outcome}) is in {self.folder.path}; see invoke builds.unclaim {recipe}, then verify again"
                wait_for(claim, what, deadline=deadline, every=1, slowest=10, passing=(Busy,), hint=hint)
            return record_verdict(self.cloud, self.version, verdict)

    def leave(self, *, keep: bool) -> None:
        """Delete what was made, or say how to look at it. Never raises: what was found out counts."""
        try:
            if keep:
                self._keep()
                return
            with self.report.step("remove-clones", "delete the clones"):
                things = leftovers(self.cloud, self.folder.id)
                remove(self.cloud, things, report=self.report, deadline=Deadline.after(_REMOVE_SECONDS))
                self.journal.write("undone", deleted=[str(thing) for thing in things])
                self.folder.forget_password()
        except ImagebuildError as error:
            self.report.warn(f"{error}: {'; '.join(error.details) or 'clones may stand'}; `invoke sweep` deletes them")

    def _keep(self) -> None:
        self.journal.write("kept")
        things = leftovers(self.cloud, self.folder.id)
        claims = [thing for thing in things if thing.is_claim]
        remove(self.cloud, claims, report=SilentReport(), deadline=Deadline.after(_REMOVE_SECONDS))
        for thing in things:
            if not thing.is_claim:
                self.report.note(f"stands: {thing}")
        user, password = self.recipe.header.windows.admin_user, self.folder.path / "password"
        self.report.note(f"log on as {user}; the password is in {password}; `invoke sweep --kept` deletes them")

    def _ways(self) -> Ways:
        header = self.recipe.header
        connector = self.settings.connector(
            user=header.windows.admin_user, trust_any_certificate=header.builder.trust_any_certificate
        )
        password, broker = self.folder.password(), header.verify.registrations
        return Ways(
            cloud=self.cloud,
            connect=lambda address, pin: connector(address, password, pin),
            desktop_answers=desktop_answers,
            report=self.report,
            broker=HttpRegistrations(broker) if broker else None,
            builder_certificate=builder_certificate(self.version, self.settings),
        )

    def _save_results(self, clones: Sequence[Clone], verdict: Verdict) -> None:
        """The verdict; console and picture of every clone that failed in something, which go with it."""
        image = self.version.image
        try:
            self.folder.save_json("verification.json", {"image": image.name, "image_id": image.id} | verdict.as_json())
        except OSError as error:  # a full disk changes nothing about the image
            self.report.warn(f"verification.json could not be saved: {error}")
        failed = {check.clone for check in verdict.checks if check.outcome == "failed"}
        saved = [name for clone in clones if clone.sighting.name in failed for name in self._save(clone)]
        if saved:
            self.report.note(f"saved in {self.folder.path}: {', '.join(saved)}")

    def _save(self, clone: Clone) -> Iterator[str]:
        name = clone.sighting.name
        try:
            console = self.cloud.console_log(clone.server_id) or clone.console
            if console:
                yield self.folder.save(f"console-{name}.log", console).name
            deadline = Deadline.after(_PICTURE_SECONDS)
            picture = self.cloud.console_picture(clone.server_id, deadline=deadline)
            if picture:
                path = self.folder.path / f"screen-{name}.png"
                path.write_bytes(picture)
                yield path.name
        except (CloudError, DeadlinePassed, OSError) as error:
            self.report.warn(f"not everything of {name} could be saved: {error}")


def _find_place(recipe: Recipe, cloud: Cloud, settings: Settings) -> Place:
    """Flavor and network of the clones. Raises RecipeError when one is not there."""
    header = recipe.header
    names = header.verify.flavor or header.builder.flavor, header.verify.network or header.builder.network
    flavor, network = cloud.find_flavor(names[0]), cloud.find_network(names[1])
    if flavor is None or network is None:
        missing = f"flavor {names[0]!r}" if flavor is None else f"network {names[1]!r}"
        raise RecipeError(f"there is no {missing} in {cloud.name}", hint="see verify and builder in the recipe")
    allow_from = header.builder.allow_from
    if allow_from in ("auto", NOBODY):  # clones are talked to, also where the builder was not
        if not network.cidrs:
            raise RecipeError(f"{network.name} has no subnet: nothing in it gets an address", hint="see verify.network")
        allow_from = settings.address_towards(network.cidrs[0])
    return Place(flavor, network, allow_from, header.builder.availability_zone)


def _tell(version: Version, verdict: Verdict, folder: BuildFolder, report: Report) -> None:
    """The table, and the end: what it means for this version, and which command comes next."""
    heading, *lines = table(verdict.checks)
    report.say(heading)
    for line, check in zip(lines, verdict.checks, strict=True):
        facts = {"check": check.name, "outcome": check.outcome, "clone": check.clone, "took_seconds": check.seconds}
        report.say(line, **facts)
    name, recipe = version.name, version.recipe
    if verdict.outcome == "passed":
        seconds = " and ".join(f"{one:.0f}" for one in verdict.usable_seconds)
        after = f"{_count(verdict.clones, 'clone')}, usable after {seconds} s"
        follows = {"current": f"invoke images.show {name}"}.get(version.state, f"invoke promote {name}")
        facts = {"image": name, "image_id": version.image.id, "verified": verdict.outcome, "clones": verdict.clones}
        report.say(
            f"{name} passed: {after}; next: {follows}",
            **facts,
            usable_seconds=list(verdict.usable_seconds),
            folder=str(folder.path),
        )
        return
    words = f"{name} failed" if verdict.outcome == "failed" else f"{name} could not be proven, nor refuted"
    error = VerificationFailed(f"{words}: {_count(len(verdict.failures), 'check')}", details=verdict.failures)
    if verdict.outcome == "inconclusive":
        next_step = f"nothing was written onto the image; mend the cloud or the broker, then invoke verify {name}"
    elif version.state == "current":
        next_step = f"{name} IS CURRENT, new desktops get it; next: invoke rollback {recipe} --reason '...'"
    else:
        next_step = f"{name} is {version.state} and hidden; next: mend the recipe, then invoke build {recipe}"
    error.after = (f"results, consoles: {folder.path}", next_step)
    raise error


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
