"""`invoke rebuild` on a fake cloud with builds that are played: who is due, in which order, how many at once, and how it ends."""

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagebuild.cloud import Image
from imagebuild.errors import UNCHANGED, CloudUnreachable, ImagebuildError, Interrupted
from imagebuild.jobs.child_runs import UNDO_SECONDS
from imagebuild.jobs.due import load_recipes
from imagebuild.jobs.outcomes import Summary
from imagebuild.jobs.rebuilding import Wish, rebuild
from imagebuild.jobs.settings import Settings
from imagebuild.plan import make_plan
from imagebuild.properties import BASE_ID, BUILT_AT, CONTENT, DIGEST
from imagebuild.resolution import resolve
from imagebuild.waiting import SystemClock
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud
from tests.fakes.cloud_world import Limits
from tests.steps.conftest import Told
from tests.unit.examples import PROJECT
from tests.unit.versions import add_version

SECONDS = 100.0
"""What a played build takes."""


@dataclass
class PlayedBuild:
    """A child: runs until its time is over, or until it has undone what it made."""

    shop: "Workshop"
    name: str
    arguments: Sequence[str]
    ends_at: float
    code: int = 0
    undo_seconds: float = 30.0
    asked: int = 0
    said: bool = False
    ended: bool = False
    closed: bool = False

    def lines(self) -> list[str]:
        """A line when it begins, and one when it is built."""
        told = [] if self.said else [json.dumps({"event": "step_begun", "title": f"build {self.name}"})]
        self.said = True
        if self.ended and self.code == 0:
            told.append(json.dumps({"event": "result", "text": "built", "image": f"{self.name}-built"}))
        return told

    def exit_code(self) -> int | None:
        """Its code when its time has come."""
        if not self.ended and self.shop.clock.now() >= self.ends_at:
            self.ended = True
            if self.code == 0:
                self.shop.make_version(self.name)
            self.shop.on_end(self)
        return self.code if self.ended else None

    def interrupt(self) -> None:
        """Begin to undo."""
        self.asked += 1
        self.code, self.ends_at = 130, self.shop.clock.now() + self.undo_seconds

    def kill(self) -> None:
        """Over."""
        self.ended, self.code = True, -9

    def close(self) -> None:
        """Noted."""
        self.closed = True


@dataclass
class Workshop:
    """A project's folder, a cloud, a clock, and the builds that were started. `codes`: how a recipe's build ends, if not well."""

    settings: Settings
    clock: FakeClock
    cloud: FakeCloud
    told: Told = field(default_factory=Told)
    codes: dict[str, int] = field(default_factory=dict)
    started: list[PlayedBuild] = field(default_factory=list)
    most: int = 0
    on_start: Callable[[PlayedBuild], object] = lambda child: None
    on_end: Callable[[PlayedBuild], object] = lambda child: None

    def recipe(self, name: str, **changes: Any) -> None:
        """A recipe of five steps; `changes` are keys of its head."""
        content = yaml.safe_load((PROJECT / "recipes" / "empty.yaml").read_text())
        content |= {"recipe": name, "policy": {}, **changes}
        (self.settings.recipes / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def make_version(self, name: str, *, days_old: float = 0.0, state: Any = "current") -> Image:
        """What a build of the recipe leaves in the cloud: the next version, promoted."""
        ((recipe,), _) = load_recipes([name], self.settings.recipes)
        plan = make_plan(recipe, resolve(recipe, self.cloud), templates=self.settings.templates)
        built_at = datetime.now(UTC) - timedelta(days=days_old)
        marks = {DIGEST: plan.digest, CONTENT: plan.content, BASE_ID: plan.resolution.source.id}
        marks |= {BUILT_AT: built_at.isoformat(), "imagebuild_promoted_at": datetime.now(UTC).isoformat()}
        number = plan.resolution.version
        image = add_version(self.cloud, number, state, recipe=recipe.name, **marks)
        self.cloud._change_image(image.id, checksum=f"{recipe.name}-{number}")
        return image

    def start(self, arguments: Sequence[str], *, project: Path, log: Path) -> PlayedBuild:
        """As adapters.child_builds does."""
        name = arguments[1]
        child = PlayedBuild(self, name, arguments, self.clock.now() + SECONDS, self.codes.get(name, 0))
        assert (project, log.name) == (self.settings.project, f"{name}.log")
        self.started.append(child)
        self.most = max(self.most, sum(not one.ended for one in self.started))
        self.on_start(child)
        return child

    def run(self, *names: str, **wishes: Any) -> Summary:
        """invoke rebuild --due."""
        wish = Wish(names, **{"due": True, "parallel": 4, **wishes})
        return rebuild(wish, self.settings, self.told, start=self.start)

    def order(self) -> list[str]:
        return [child.name for child in self.started]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    clock = FakeClock()
    cloud = FakeCloud(clock)
    cloud.add_image("win7-sp1-x64", image=Image("", "", "active", min_disk=20, checksum="c0ffee"), hw_disk_bus="ide")
    cloud.add_flavor("2cpu_2GB_40GB")
    cloud.add_network("vdi-network", "172.16.100.0/24")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "unattend").symlink_to(PROJECT / "unattend")
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: cloud)
    monkeypatch.setattr(SystemClock, "now", lambda self: clock.now())
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: clock.sleep(seconds))
    return Workshop(Settings(tmp_path), clock, cloud)


def results(summary: Summary) -> dict[str, str]:
    return {one.recipe: one.result for one in summary.outcomes}


def reason(summary: Summary, name: str) -> str:
    return next(one.reason for one in summary.outcomes if one.recipe == name)


# ------------------------------------------------------------------------------------------------------------ who is due


def test_what_was_never_built_is_due_and_is_not_afterwards(shop: Workshop) -> None:
    shop.recipe("a")
    summary = shop.run()
    assert (results(summary), summary.exit_code) == ({"a": "built"}, 0)
    assert summary.outcomes[0].image == "a-built"
    again = shop.run()
    assert (results(again), again.exit_code) == ({"a": "not due"}, UNCHANGED)
    assert reason(again, "a") == "nothing changed since a-v1"
    assert [child.arguments for child in shop.started] == [["build", "a", "--json", "--if-changed"]]


def test_a_changed_source_makes_it_due(shop: Workshop) -> None:
    shop.recipe("a")
    shop.make_version("a")
    base = shop.cloud.find_image("win7-sp1-x64")
    assert base
    shop.cloud._change_image(base.id, checksum="another")
    assert reason(shop.run(dry_run=True), "a") == "recipe, source, media or updates changed since a-v1"


def test_age_makes_it_due_and_then_it_is_built_though_nothing_changed(shop: Workshop) -> None:
    shop.recipe("a", policy={"max_age_days": 30})
    shop.make_version("a", days_old=29.9)
    assert results(shop.run()) == {"a": "not due"}
    shop.recipe("b", policy={"max_age_days": 30})
    shop.make_version("b", days_old=30.2)
    summary = shop.run()
    assert results(summary) == {"a": "not due", "b": "built"}
    assert shop.started[0].arguments == ["build", "b", "--json"]
    assert "b is due: b-v1 is 30.2 days old, its policy says 30" in shop.told.notes


def test_without_age_in_its_policy_it_may_grow_old(shop: Workshop) -> None:
    shop.recipe("a")
    shop.make_version("a", days_old=1000)
    assert results(shop.run()) == {"a": "not due"}


def test_what_came_of_this_very_plan_and_was_rejected_is_not_built_every_night(shop: Workshop) -> None:
    shop.recipe("a", policy={"max_age_days": 1})
    shop.make_version("a", days_old=2, state="rejected")
    summary = shop.run()
    assert results(summary) == {"a": "not due"}
    assert reason(summary, "a") == "a-v1 came of the same plan and was rejected: change something first"


def test_a_rejected_one_counts_for_nothing_once_something_changed(shop: Workshop) -> None:
    shop.recipe("a")
    shop.make_version("a", state="rejected")
    shop.recipe("a", builder={"flavor": "2cpu_2GB_40GB", "network": "vdi-network", "metadata": {"x": "y"}})
    assert reason(shop.run(dry_run=True), "a") == "there is no good image yet"


def test_a_candidate_that_a_cut_off_run_has_left_is_promoted_by_the_next_one(shop: Workshop) -> None:
    shop.recipe("a")
    shop.make_version("a", state="candidate")
    assert results(shop.run()) == {"a": "not due"}
    shop.codes["a"] = 1  # so that no further version is played
    shop.run(promote=True)
    assert shop.started[0].arguments == ["build", "a", "--json", "--if-changed", "--promote"]
    assert "a is due: a-v1 is built and not yet promoted" in shop.told.notes


def test_who_asks_without_due_gets_it_built(shop: Workshop) -> None:
    shop.recipe("a")
    shop.make_version("a")
    assert results(shop.run(due=False)) == {"a": "built"}
    assert shop.started[0].arguments == ["build", "a", "--json"]


def test_a_recipe_whose_policy_says_no_is_built_only_when_named(shop: Workshop) -> None:
    shop.recipe("a")
    shop.recipe("guard", policy={"rebuild": False})
    assert results(shop.run(dry_run=True)) == {"a": "would build"}
    assert results(shop.run("guard")) == {"guard": "built"}


def test_a_dry_run_starts_nothing(shop: Workshop) -> None:
    shop.recipe("a")
    summary = shop.run(dry_run=True)
    assert (results(summary), summary.exit_code, shop.started) == ({"a": "would build"}, 0, [])


def test_the_folder_may_be_empty(shop: Workshop) -> None:
    assert shop.run().exit_code == UNCHANGED


def test_wrong_recipes_are_told_and_do_not_stop_the_others(shop: Workshop) -> None:
    shop.recipe("a")
    shop.recipe("lost", source={"image": "win12"})
    (shop.settings.recipes / "torn.yaml").write_text("recipe: torn\nsteps: [")
    summary = shop.run()
    assert results(summary) == {"a": "built", "lost": "wrong", "torn": "wrong"}
    assert "source.image: there is no 'win12'" in reason(summary, "lost")
    assert summary.exit_code == 2
    assert results(shop.run("nobody")) == {"nobody": "wrong"}


# ------------------------------------------------------------------------------------------------------ how many at once


def test_several_run_at_once_up_to_the_number_asked_for(shop: Workshop) -> None:
    for name in "abcde":
        shop.recipe(name)
    assert set(results(shop.run(parallel=3)).values()) == {"built"}
    assert shop.most == 3
    assert shop.clock.now() < 1000 + 2.5 * SECONDS


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(instances=2), 2),
        (Limits(cores=7), 3),
        (Limits(ram_mib=2048), 1),
        (Limits(security_groups=4), 4),
    ],
)
def test_the_quota_says_how_many(shop: Workshop, limits: Limits, most: int) -> None:
    for name in "abcd":
        shop.recipe(name)
    shop.cloud.limits = limits
    assert set(results(shop.run()).values()) == {"built"}
    assert shop.most == most


def test_clones_count_when_they_are_more_than_the_builder(shop: Workshop) -> None:
    for name in "ab":
        shop.recipe(name, verify={"clones": 3})
    shop.cloud.limits = Limits(instances=5)
    assert set(results(shop.run(promote=True)).values()) == {"built"}
    assert shop.most == 1
    assert shop.started[0].arguments[-1] == "--promote"


def test_what_will_never_fit_is_said_at_once(shop: Workshop) -> None:
    shop.recipe("a", verify={"clones": 8})
    shop.cloud.limits = Limits(instances=5)
    summary = shop.run(promote=True)
    assert (results(summary), shop.started) == ({"a": "failed"}, [])
    assert "quota" in reason(summary, "a")


def test_a_quota_that_others_have_used_up_is_no_mistake_in_the_recipe(shop: Workshop) -> None:
    shop.recipe("a")
    shop.cloud.limits = Limits(instances=0)
    summary = shop.run()
    assert (results(summary), summary.exit_code) == ({"a": "busy"}, 3)
    assert "quota: instances: 1 needed, 0 left" in reason(summary, "a")


def test_one_line_of_versions_is_built_one_after_another_and_its_changes_last(shop: Workshop) -> None:
    shop.recipe("w")
    shop.make_version("w")
    own = {"source": {"recipe": "w"}, "recipe": "w"}
    shop.recipe("w-a", **own)
    shop.recipe("w-b", **own)
    for path in shop.settings.recipes.glob("w*.yaml"):  # all have changed
        path.write_text(path.read_text().replace("extra_disk_bus: none", "extra_disk_bus: virtio"))
    assert set(results(shop.run()).values()) <= {"built", "not due"}
    assert (shop.order()[0], shop.most) == ("w", 1)


# ------------------------------------------------------------------------------------------- one starts from another's


@pytest.fixture
def chained(shop: Workshop) -> Workshop:
    """`top` starts from what `base` makes; both are built."""
    shop.recipe("base")
    shop.make_version("base")
    shop.recipe("top", source={"recipe": "base"})
    shop.make_version("top")
    assert results(shop.run()) == {"base": "not due", "top": "not due"}
    shop.recipe("base", builder={"flavor": "2cpu_2GB_40GB", "network": "vdi-network", "metadata": {"x": "y"}})
    return shop


def test_what_starts_from_a_new_version_is_asked_again_when_that_is_there(chained: Workshop) -> None:
    foreseen = chained.run(dry_run=True)
    assert results(foreseen) == {"base": "would build", "top": "would build"}
    assert reason(foreseen, "top") == "starts from what base makes"
    assert results(chained.run()) == {"base": "built", "top": "built"}
    assert (chained.order(), chained.most) == (["base", "top"], 1)


@pytest.mark.parametrize("code", [1, 2, 3])
def test_what_starts_from_a_build_that_failed_is_not_begun(chained: Workshop, code: int) -> None:
    chained.codes["base"] = code
    summary = chained.run()
    assert chained.order() == ["base"]
    assert results(summary)["top"] == "failed"
    assert reason(summary, "top") == "it starts from what base makes, and that did not work"


def test_a_source_that_turned_out_unchanged_leaves_the_rest_alone(chained: Workshop) -> None:
    chained.codes["base"] = UNCHANGED
    summary = chained.run()
    assert (results(summary), summary.exit_code) == ({"base": "unchanged", "top": "not due"}, UNCHANGED)


def test_recipes_that_start_from_each_other_are_said_and_not_waited_for(chained: Workshop) -> None:
    chained.recipe("base", source={"recipe": "top"})
    summary = chained.run()
    assert chained.started == []
    assert set(results(summary).values()) == {"failed"}
    assert "start from each other" in reason(summary, "top")


# ------------------------------------------------------------------------------------------------------------ how it ends


def test_one_that_fails_does_not_stop_the_others(shop: Workshop) -> None:
    for name in "abc":
        shop.recipe(name)
    shop.codes |= {"a": 1, "b": 3}
    summary = shop.run(parallel=1)
    assert (results(summary), summary.exit_code) == ({"a": "failed", "b": "busy", "c": "built"}, 1)
    assert [one.log.name for one in summary.outcomes if one.log] == ["a.log", "b.log", "c.log"]
    assert all(child.closed for child in shop.started)


def test_a_build_that_takes_too_long_is_asked_to_end_and_undoes(shop: Workshop) -> None:
    shop.recipe("a")
    summary = shop.run(minutes=0.5)
    assert (results(summary), reason(summary, "a")) == ({"a": "failed"}, "not done within 0.5 minutes")
    assert shop.started[0].asked == 1
    assert 30 + 30 <= summary_seconds(shop) < 30 + 30 + 5


def test_a_build_that_does_not_end_when_asked_is_killed(shop: Workshop) -> None:
    shop.recipe("a")
    shop.on_start = lambda child: setattr(child, "undo_seconds", 1e9)
    assert results(shop.run(minutes=0.5)) == {"a": "failed"}
    assert shop.told.warnings == ["a: not done within 0.5 minutes, asked to end", "a: killed; next: invoke sweep"]
    assert 30 + UNDO_SECONDS <= summary_seconds(shop) < 30 + UNDO_SECONDS + 5


def summary_seconds(shop: Workshop) -> float:
    return shop.clock.now() - FakeClock().now()


def test_a_process_that_cannot_be_started_is_one_failure(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.recipe("a")
    shop.recipe("b")

    def refuse(child: PlayedBuild) -> None:
        if child.name == "a":
            raise ImagebuildError("no room for a log")

    shop.on_start = refuse
    summary = shop.run()
    assert results(summary) == {"a": "failed", "b": "built"}
    assert reason(summary, "a") == "no room for a log"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_wish_to_end_is_passed_on_once_and_the_undo_waited_for(shop: Workshop, number: signal.Signals) -> None:
    for name in "abc":
        shop.recipe(name)
    shop.on_start = lambda child: signal.raise_signal(number) if child.name == "b" else None
    with pytest.raises(Interrupted) as caught:
        shop.run(parallel=2)
    assert caught.value.after == ()
    begun = shop.started[0]
    assert (begun.asked, begun.ended, begun.closed) == (1, True, True)
    assert "c" not in shop.order()


def test_what_does_not_end_after_an_interruption_is_killed_and_named(shop: Workshop) -> None:
    shop.recipe("a")
    shop.recipe("b")

    def cut(child: PlayedBuild) -> None:
        child.undo_seconds = 1e9
        if child.name == "b":
            raise KeyboardInterrupt

    shop.on_start = cut
    with pytest.raises(Interrupted) as caught:
        shop.run()
    assert caught.value.after == ("killed while undoing: a", "next: invoke sweep")
    assert shop.started[0].code == -9


def test_a_cloud_that_is_away_when_it_is_asked_again_costs_that_recipe_alone(chained: Workshop) -> None:
    chained.recipe("z")
    chained.on_end = lambda child: chained.cloud.faults.fail("find_flavor", CloudUnreachable("503"))
    summary = chained.run(parallel=1)
    assert results(summary) == {"base": "built", "top": "failed", "z": "built"}
    assert reason(summary, "top") == "503"
