"""updates: rounds until two searches in a row have nothing more, and an end for everything that would go on for ever."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from imagebuild.errors import DeadlinePassed, SessionLost, StepFailed
from imagebuild.steps.updates import Updates
from tests.fakes.kill import Killed
from tests.steps.conftest import World, answer, answers
from tests.unit.examples import header

NOTHING = answer("Install-Updates", "install with nothing to do, twice")
REAL_UPDATE = next(value["updates"][0] for value in answers("Install-Updates") if value["installed_count"])


def update(number: int, result: str = "succeeded") -> dict[str, Any]:
    """One update in a round's answer, in the shape of a real one."""
    failed = result in ("failed", "aborted")
    return REAL_UPDATE | {
        "id": f"id-{number}",
        "kb": [f"500000{number}"],
        "title": f"update {number}",
        "result": result,
        "words": "fatal error of an installer" if failed else "done",
        "hresult": "0x80070643" if failed else "0x00000000",
    }


def round_of(*updates: dict[str, Any], **changes: Any) -> dict[str, Any]:
    installed = sum(str(one["result"]).startswith("succeeded") for one in updates)
    failed = sum(one["result"] in ("failed", "aborted") for one in updates)
    counts = {"installed_count": installed, "failed_count": failed, "found_count": len(updates)}
    return NOTHING | {"updates": list(updates), **counts, **changes}


def failure(action: str) -> dict[str, Any]:
    return {"action": action, "hresult": "0x80240438", "message": "", "phase": "search", "words": "words"}


@pytest.fixture
def ready(windows: World) -> World:
    windows.guest.returns("Set-UpdateSource", answer("Set-UpdateSource", "disabled services"))
    windows.guest.returns("Reset-UpdateSource", {})
    return windows


def play(world: World, *rounds: dict[str, Any]) -> None:
    world.guest.returns("Install-Updates", *rounds)


def test_two_searches_without_a_find_are_the_end(ready: World) -> None:
    play(ready, NOTHING)
    Updates().run(ready.context)
    assert [script for script, _, _ in ready.guest.ran] == [
        "Set-UpdateSource",
        "Install-Updates",
        "Install-Updates",
        "Reset-UpdateSource",
    ]
    assert ready.guest.restarts == []
    assert ready.remembered()["updates"] == {"installed": [], "failed": [], "rounds": 2}


def test_what_appears_only_after_another_is_in_comes_in_too(ready: World) -> None:
    play(ready, round_of(update(1), update(2)), NOTHING, round_of(update(3)), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert ready.facts["updates"]["installed"] == ["KB5000001 update 1", "KB5000002 update 2", "KB5000003 update 3"]
    assert ready.facts["updates"]["rounds"] == 5
    assert ready.guest.restarts == ["updates", "updates"]


def test_a_restart_that_windows_asks_for_is_given_even_when_nothing_came_in(ready: World) -> None:
    play(ready, round_of(reboot_required=True), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert ready.guest.restarts == ["updates"]


def test_rounds_run_as_system_each_under_its_own_job(ready: World) -> None:
    play(ready, round_of(update(1)), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert {who for script, _, who in ready.guest.ran if script == "Install-Updates"} == {"SYSTEM"}
    assert list(ready.guest.jobs) == ["updates-1", "updates-2", "updates-3"]


@pytest.mark.parametrize(
    ("values", "place", "selection"),
    [
        ({}, {"source": "default", "proxy": "", "drivers": False}, {}),
        (
            {"source": "wsus", "server": "http://wsus:8530", "proxy": "p:3128", "drivers": True},
            {"source": "wsus", "proxy": "p:3128", "drivers": True, "server": "http://wsus:8530"},
            {"drivers": True},
        ),
        (
            {"exclude_kb": ["KB1"], "categories": ["Security Updates"], "previews": True},
            {"source": "default", "proxy": "", "drivers": False},
            {"exclude_kb": ["KB1"], "categories": ["Security Updates"], "previews": True},
        ),
    ],
)
def test_what_the_recipe_says_arrives(
    ready: World, values: dict[str, Any], place: dict[str, Any], selection: dict[str, Any]
) -> None:
    play(ready, NOTHING)
    Updates.model_validate(values).run(ready.context)
    assert ready.guest.parameters_of("Set-UpdateSource") == [place]
    assert ready.guest.parameters_of("Install-Updates")[0] == selection | {"skip": []}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, False),
        ({"source": "microsoft"}, False),
        ({"source": "wsus", "server": "http://wsus:8530"}, False),
        ({"source": "wsus"}, True),
        ({"server": "http://wsus:8530"}, True),
    ],
)
def test_a_server_belongs_to_wsus(values: dict[str, Any], wrong: bool) -> None:
    assert bool(Updates.model_validate(values).check(header())) == wrong


def test_an_update_that_fails_once_is_tried_again(ready: World) -> None:
    play(ready, round_of(update(1), update(2, "failed")), round_of(update(2)), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert ready.facts["updates"]["failed"] == []
    assert ready.facts["updates"]["installed"] == ["KB5000001 update 1", "KB5000002 update 2"]
    assert [asked["skip"] for asked in ready.guest.parameters_of("Install-Updates")] == [[], [], [], []]


@pytest.mark.parametrize("result", ["failed", "aborted"])
def test_an_update_that_fails_twice_is_left_out_and_told(ready: World, result: str) -> None:
    bad = round_of(update(7, result))
    play(ready, bad, bad, NOTHING, NOTHING)
    Updates().run(ready.context)
    assert [asked["skip"] for asked in ready.guest.parameters_of("Install-Updates")] == [[], [], ["id-7"], ["id-7"]]
    line = "KB5000007 update 7: fatal error of an installer (0x80070643)"
    assert ready.facts["updates"]["failed"] == [line]
    assert ready.told.warnings == [f"not installed: {line}"]


def test_a_recipe_may_want_all_or_nothing(ready: World) -> None:
    bad = round_of(update(7, "failed"))
    play(ready, bad, bad, NOTHING, NOTHING)
    with pytest.raises(StepFailed, match="updates failed twice") as caught:
        Updates(failed="stop").run(ready.context)
    assert caught.value.details == ("KB5000007 update 7: fatal error of an installer (0x80070643)",)
    assert "updates" not in ready.facts


def test_what_was_installed_and_is_offered_again_ends_the_circle(ready: World) -> None:
    play(ready, round_of(update(1)), round_of(update(1)))
    with pytest.raises(
        StepFailed, match="KB5000001 update 1 was installed with success and is offered again"
    ) as caught:
        Updates().run(ready.context)
    assert "exclude_kb" in caught.value.hint


@pytest.mark.parametrize("action", ["need_system", "fix_policy", "need_sha2", "give_up", "an action of tomorrow"])
def test_a_code_that_a_repetition_does_not_mend_is_the_end(ready: World, action: str) -> None:
    play(ready, round_of(failure=failure(action), warnings=["look at the proxy"]))
    with pytest.raises(StepFailed, match=r"Windows Update cannot work: words \(0x80240438, in search\)") as caught:
        Updates().run(ready.context)
    assert action in caught.value.hint
    assert caught.value.details == ("look at the proxy",)


@pytest.mark.parametrize("action", ["retry", "server", "no_network"])
def test_a_code_that_time_mends_is_waited_for(ready: World, action: str) -> None:
    play(ready, round_of(failure=failure(action)), NOTHING, NOTHING)
    before = ready.clock.now()
    Updates().run(ready.context)
    assert ready.guest.restarts == []
    assert ready.clock.now() - before >= 30
    assert ready.facts["updates"]["rounds"] == 3


def test_trouble_in_every_round_is_the_end(ready: World) -> None:
    play(ready, *[round_of(failure=failure("no_network"))] * 8)
    with pytest.raises(StepFailed, match="Windows Update cannot work"):
        Updates().run(ready.context)
    assert len(ready.guest.parameters_of("Install-Updates")) == 4


def test_a_code_that_a_restart_mends_gets_one(ready: World) -> None:
    play(ready, round_of(failure=failure("reboot_first")), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert ready.guest.restarts == ["updates"]


def test_a_failed_search_is_no_search_without_a_find(ready: World) -> None:
    play(ready, NOTHING, round_of(failure=failure("retry")), NOTHING, NOTHING)
    Updates().run(ready.context)
    assert ready.facts["updates"]["rounds"] == 4


def test_updates_that_never_end_are_ended(ready: World) -> None:
    rounds = [round_of(update(number)) for number in range(1, 9)]
    play(ready, *rounds)
    with pytest.raises(StepFailed, match="updates were still found after 4 rounds") as caught:
        Updates(max_rounds=4).run(ready.context)
    assert "max_rounds" in caught.value.hint
    assert len(ready.guest.parameters_of("Install-Updates")) == 4


def test_fewer_rounds_than_the_two_that_find_nothing_make_no_sense() -> None:
    with pytest.raises(ValidationError, match="max_rounds"):
        Updates(max_rounds=1)
    assert Updates(max_rounds=2).max_rounds == 2


def test_the_deadline_holds_over_all_rounds(ready: World) -> None:
    play(ready, *(round_of(failure=failure("retry")) for _ in range(60)))
    with pytest.raises(DeadlinePassed):
        Updates(deadline_minutes=1, max_rounds=50).run(ready.context)
    assert ready.clock.slept <= 70


def test_a_second_run_takes_up_the_rounds_of_the_first(ready: World) -> None:
    play(ready, round_of(update(1)), NOTHING, NOTHING)
    ready.guest.faults.lose_answer("restart")
    with pytest.raises(SessionLost):
        Updates().run(ready.context)
    Updates().run(ready.context)
    assert len(ready.guest.parameters_of("Install-Updates")) == 3
    assert ready.facts["updates"]["installed"] == ["KB5000001 update 1"]


@pytest.mark.parametrize("cut", ["in a restart", "in a round"])
def test_a_build_that_was_cut_off_goes_on_with_the_round_it_was_in(ready: World, cut: str) -> None:
    answers_left = [round_of(update(1)), round_of(update(2)), NOTHING, NOTHING]
    seen: list[int] = []

    def round_(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        seen.append(len(seen))
        if cut == "in a round" and len(seen) == 2:
            raise Killed
        return answers_left.pop(0)

    ready.guest.plays("Install-Updates", round_)
    restart = ready.guest.restart
    if cut == "in a restart":

        def killed(*_: Any, **__: Any) -> Any:
            if ready.guest.restarts:
                raise Killed
            return restart("updates", deadline=ready.context.deadline(10))

        ready.guest.restart = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        Updates().run(ready.context)
    ready.guest.restart = restart  # type: ignore[method-assign]
    ready.context.facts.clear()
    ready.context.facts |= ready.remembered() | {"windows": {}, "guest_address": "10.0.0.10", "guest_certificate": None}
    Updates().run(ready.context)
    assert ready.facts["updates"]["installed"] == ["KB5000001 update 1", "KB5000002 update 2"]
    assert sorted(ready.guest.jobs) == ["updates-1", "updates-2", "updates-3", "updates-4"], "no round ran twice"


def test_another_try_after_a_verdict_counts_its_rounds_anew(ready: World) -> None:
    play(ready, round_of(update(1)), round_of(failed_twice := update(2, "failed")), round_of(failed_twice), NOTHING)
    with pytest.raises(StepFailed, match="failed twice"):
        Updates(failed="stop").run(ready.context)
    ready.context.begin("digest", attempt=1)
    Updates(failed="stop").run(ready.context)
    assert ready.facts["updates"] == {"installed": [], "failed": [], "rounds": 2}
    assert "updates-1-again-1" in ready.guest.jobs


@pytest.mark.parametrize("refresh", ["", "sometimes", "days-0", "days-", "days-1000", "patch tuesday"])
def test_a_rhythm_that_nobody_knows_is_refused(refresh: str) -> None:
    with pytest.raises(ValidationError, match="refresh"):
        Updates(refresh=refresh)


def test_what_is_known_outside_goes_by_the_rhythm() -> None:
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert Updates().outside(at) == "updates of 2026-11-10"
    assert Updates(refresh="never").outside(at) == ""
    assert Updates(refresh="days-1").outside(at) == "updates of 2026-11-22"
