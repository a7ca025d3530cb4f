"""promote, rollback, reject and prune as typed: under the recipe's claim, told with what comes next, and cut off anywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuild.build_folder import BuildFolder
from imagebuild.claim import claims, take
from imagebuild.errors import Busy, CloudRefused, CloudUnreachable, NotFound, RecipeError, VersionRefused
from imagebuild.images import current, list_versions
from imagebuild.jobs import version_changes
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.sweeping import sweep
from imagebuild.properties import PREVIOUS, PROMOTED_AT, REASON, VERIFIED
from tests.fakes.cloud import FakeCloud
from tests.fakes.kill import kill_after
from tests.steps.conftest import Told
from tests.unit.examples import RECIPE
from tests.unit.versions import a_cloud, add_claim, add_desktop_snapshot, add_version


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """The first version superseded by the second, the third waiting."""
    made = a_cloud()
    first = add_version(made, 1, "superseded")
    add_version(made, 2, "current", **{PREVIOUS: first.id, PROMOTED_AT: "2026-01-05T00:00:00.000+00:00"})
    add_version(made, 3)
    monkeypatch.setattr(Settings, "open_cloud", lambda settings, report: made)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


@pytest.fixture
def told() -> Told:
    return Told()


def states(cloud: FakeCloud) -> list[str]:
    return [one.state for one in list_versions(cloud, "small")]


def said(told: Told) -> str:
    return "\n".join(text for text, _ in told.results)


def yes(deed: str) -> bool:
    del deed
    return True


def no(deed: str) -> bool:
    del deed
    return False


# ------------------------------------------------------------------------------------------------ each as typed


def test_promote_says_what_is_current_and_how_to_go_back(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    assert version_changes.promote("small-v3", settings, told).state == "current"
    assert states(cloud) == ["superseded", "superseded", "current"]
    assert "small-v3 is current, small-v2 is superseded" in said(told)
    assert "invoke rollback small" in said(told)
    facts = told.results[0][1]
    assert (facts["image"], facts["before"]) == ("small-v3", "small-v2")


def test_afterwards_nothing_is_held_and_nothing_kept(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    version_changes.promote("small-v3", settings, told)
    version_changes.rollback("small", settings, told, reason="bad")
    with pytest.raises(VersionRefused):
        version_changes.reject("small-v2", settings, told, reason="current")
    assert claims(cloud) == []
    assert list(settings.builds.iterdir()) == []


def test_promote_of_a_recipe_means_its_newest_candidate(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    assert version_changes.promote("small", settings, told).name == "small-v3"
    assert version_changes.promote("small", settings, told).name == "small-v3"
    assert said(told).endswith("small-v3 is current")


def test_promoted_twice_it_is_said_plainly(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    version_changes.promote("small-v2", settings, told)
    assert said(told) == "small-v2 is current"


def test_what_is_refused_anyway_takes_no_claim(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    add_version(cloud, 4, **{VERIFIED: ""})
    with pytest.raises(VersionRefused, match="not verified"):
        version_changes.promote("small-v4", settings, told)
    assert "reserve_image" not in cloud.faults.calls
    version_changes.promote("small-v4", settings, told, unverified=True)
    assert len(told.warnings) == 1
    assert states(cloud)[-1] == "current"


def test_rollback_with_a_reason(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    now = version_changes.rollback("small", settings, told, reason="no printing")
    assert now.name == "small-v1"
    assert states(cloud) == ["current", "rejected", "candidate"]
    assert "small-v1 is current, small-v2 is rejected" in said(told)


def test_rollback_to_a_named_one(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    assert version_changes.rollback("small", settings, told, to="small-v1").name == "small-v1"
    add_version(cloud, 1, "superseded", recipe="other")
    with pytest.raises(VersionRefused, match="other-v1 is no version of small"):
        version_changes.rollback("small", settings, told, to="other-v1")


def test_rollback_of_what_is_not_there_names_its_neighbours(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    with pytest.raises(NotFound) as caught:
        version_changes.rollback("smal", settings, told)
    assert "small" in caught.value.hint


def test_reject_wants_a_reason(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    with pytest.raises(RecipeError, match="needs a reason"):
        version_changes.reject("small-v3", settings, told, reason="  ")
    rejected = version_changes.reject("small-v3", settings, told, reason=" blue screens ")
    assert (rejected.state, rejected.image.properties[REASON]) == ("rejected", "blue screens")
    assert rejected.image.status == "active"


def test_dangerous_is_deactivated_as_well(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    for _ in range(2):
        rejected = version_changes.reject("small-v3", settings, told, reason="virus", dangerous=True)
        assert rejected.image.status == "deactivated"


def test_a_cloud_that_lets_only_administrators_deactivate_is_told_with_what_to_ask_for(
    cloud: FakeCloud, settings: Settings, told: Told
) -> None:
    cloud.may_deactivate = False
    with pytest.raises(CloudRefused, match="is rejected and hidden, but whoever knows its id") as caught:
        version_changes.reject("small-v3", settings, told, reason="virus", dangerous=True)
    assert "openstack image set --deactivate" in caught.value.hint
    assert states(cloud)[-1] == "rejected"


def test_a_desktops_snapshot_is_nobodys_version(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    head = current(cloud, "small")
    assert head is not None
    mine = add_desktop_snapshot(cloud, head.image)
    for act in (version_changes.promote, version_changes.reject):
        more = {"reason": "r"} if act is version_changes.reject else {}
        with pytest.raises(VersionRefused, match="only inherited its properties"):
            act(mine.id, settings, told, **more)  # type: ignore[operator]
    assert cloud.image(mine.id) == mine


# ------------------------------------------------------------------------------------------------ prune


def test_prune_shows_each_and_asks_before_anything(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    add_version(cloud, 4, "rejected")
    add_version(cloud, 5)
    asked: list[str] = []
    ask: Callable[[str], bool] = lambda deed: bool(asked.append(deed))  # noqa: E731
    assert version_changes.prune("small", settings, told, keep=1, yes=False, ask=ask) == 0
    assert asked == ["delete small-v4"]
    lines = said(told).splitlines()
    assert lines[1].endswith("stays: current")
    assert lines[3].endswith("goes")
    assert lines[-1] == "nothing was deleted; to do it: invoke prune small --keep 1 --yes"
    assert [facts.get("stays") for _, facts in told.results[:5]] == [True, True, True, False, True]
    assert len(states(cloud)) == 5
    assert version_changes.prune("small", settings, told, keep=1, yes=False, ask=yes) == 1
    assert version_changes.prune("small", settings, told, keep=1, yes=True, ask=no) == 0
    assert "nothing of small to prune" in said(told)


def test_how_many_stay_says_the_recipe(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    for number in range(4, 9):
        add_version(cloud, number, "superseded")
    settings.recipes.mkdir()

    def plan_says(number: int) -> bool:
        version_changes.prune("small", settings, told, keep=None, yes=False, ask=no)
        return f"--keep {number}" in told.results[-1][0]

    assert plan_says(3)
    text = RECIPE + "policy: {keep: 4}\n"
    (settings.recipes / "small.yaml").write_text(text, encoding="utf-8")
    assert plan_says(4)
    (settings.recipes / "small.yaml").write_text("recipe: small\n", encoding="utf-8")
    with pytest.raises(RecipeError):
        plan_says(3)


def test_prune_of_nothing_and_to_nothing(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    with pytest.raises(NotFound, match="no version 'smal'"):
        version_changes.prune("smal", settings, told, keep=1, yes=True, ask=no)
    with pytest.raises(RecipeError, match="--keep is 0"):
        version_changes.prune("small", settings, told, keep=0, yes=True, ask=no)


def test_what_was_left_unprotected_is_asked_about_and_healed(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    (first, *_) = list_versions(cloud)
    cloud.update_image(first.image.id, protected=False)
    asked: list[str] = []
    version_changes.prune("small", settings, told, keep=3, yes=False, ask=lambda deed: bool(asked.append(deed)) or True)
    assert asked == ["protect small-v1 again"]
    assert all(one.image.protected for one in list_versions(cloud))


# ------------------------------------------------------------------------------------------------ two at once, cut off

ACTS: dict[str, Callable[[Settings, Told], object]] = {
    "promote": lambda settings, told: version_changes.promote("small-v3", settings, told),
    "rollback": lambda settings, told: version_changes.rollback("small", settings, told, reason="bad"),
    "reject": lambda settings, told: version_changes.reject("small-v3", settings, told, reason="bad"),
    "prune": lambda settings, told: version_changes.prune("small", settings, told, keep=1, yes=True, ask=no),
}


@pytest.fixture
def prunable(cloud: FakeCloud) -> FakeCloud:
    """The same, with one to prune."""
    add_version(cloud, 4, "rejected")
    add_version(cloud, 5, "candidate")
    return cloud


def others_claim(cloud: FakeCloud, told: Told) -> None:
    take(
        cloud,
        "small",
        purpose="life",
        seed=lambda images: "whatever",
        owner="promote-of-another-maintainer",
        lifetime_seconds=600,
        is_dead=lambda owner: False,
        report=told,
    )


@pytest.mark.parametrize("act", ACTS)
def test_while_another_changes_the_same_line_one_is_told_who_and_changes_nothing(
    prunable: FakeCloud, settings: Settings, told: Told, act: str
) -> None:
    before = list_versions(prunable)
    others_claim(prunable, told)
    with pytest.raises(Busy, match="promote-of-another-maintainer"):
        ACTS[act](settings, told)
    assert list_versions(prunable) == before
    assert list(settings.builds.iterdir()) == []


def test_another_line_does_not_wait(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    add_version(cloud, 1, recipe="other")
    others_claim(cloud, told)
    assert version_changes.promote("other-v1", settings, told).state == "current"


def test_a_build_that_runs_keeps_nobody_from_promoting(cloud: FakeCloud, settings: Settings, told: Told) -> None:
    add_claim(cloud, 4)
    assert version_changes.promote("small-v3", settings, told).state == "current"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("calls", range(2, 30, 3))
def test_killed_anywhere_the_same_again_finishes_and_nothing_is_left(
    prunable: FakeCloud, settings: Settings, told: Told, act: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = {
        "promote": ["superseded", "superseded", "current", "rejected", "candidate"],
        "rollback": ["current", "rejected", "candidate", "rejected", "candidate"],
        "reject": ["superseded", "current", "rejected", "rejected", "candidate"],
        "prune": ["superseded", "current", "candidate", "candidate"],
    }[act]
    with monkeypatch.context() as patched:
        patched.setattr(BuildFolder, "remove", lambda folder: None)  # who is killed does not tidy up
        with kill_after(prunable, calls):
            ACTS[act](settings, told)
    assert current(prunable, "small") is not None
    begun = list(settings.builds.iterdir())
    if states(prunable) != done:
        ACTS[act](settings, told)
        assert list(settings.builds.iterdir()) == [], begun
    assert states(prunable) == done
    assert all(one.image.protected for one in list_versions(prunable))
    sweep(settings, told, dry_run=False, kept=False, foreign=False)
    assert claims(prunable) == []


def test_a_cloud_that_goes_away_in_the_middle_is_told_and_the_claim_given_back(
    cloud: FakeCloud, settings: Settings, told: Told
) -> None:
    cloud.faults.fail("update_image", CloudUnreachable("503"))
    with pytest.raises(CloudUnreachable):
        version_changes.promote("small-v3", settings, told)
    assert claims(cloud) == []
    assert states(cloud) == ["superseded", "current", "candidate"]
