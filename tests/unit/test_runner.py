"""The runner: a line before and after each step, and every way to fail is written down before anybody acts on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuild import step as step_module
from imagebuild.errors import Busy, CloudRefused, GuestUnreachable, ImagebuildError, Interrupted, StepFailed
from imagebuild.journal import Journal
from imagebuild.plan import PlannedStep
from imagebuild.recipe import Recipe
from imagebuild.runner import Failure, run_plan
from imagebuild.secrets import Secret
from imagebuild.step import Context, Step
from tests.unit.examples import context as make_context
from tests.unit.examples import plan_of, write_recipe

Work = Callable[[Context], None]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return write_recipe(tmp_path / "recipes")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = make_context(tmp_path / "build-1")
    yield made
    made.journal.close()


@pytest.fixture
def make_step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Step]:
    """Steps for one test, which no other test finds registered."""
    monkeypatch.setattr(step_module, "_registry", dict(step_module._registry))

    def make(word: str, work: Work = lambda context: None, *, promises: frozenset[str] = frozenset()) -> Step:
        class Made(Step):
            name = word
            title = f"title of {word}"
            gives = promises

            def run(self, context: Context) -> None:
                work(context)

        return Made()

    return make


def events(context: Context) -> list[tuple[str, Any]]:
    return [(entry.event, entry.facts.get("step")) for entry in context.journal.entries()]


def test_each_step_has_a_line_before_and_after_it(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    seen: list[list[tuple[str, Any]]] = []
    steps = [make_step(word, lambda c: seen.append(events(c))) for word in ("one", "two")]
    run_plan(plan_of(recipe, *steps), context, context.journal)
    assert seen == [[("step_begun", "one")], [("step_begun", "one"), ("step_done", "one"), ("step_begun", "two")]]
    begun, done, *_ = context.journal.entries()
    assert begun.facts == {"step": "one", "number": 1, "digest": "digest-1"}
    assert done.facts["seconds"] >= 0


def test_facts_are_on_the_disk_when_the_next_step_reads_them(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    def look(c: Context) -> None:
        assert c.facts["server_id"] == "s-1"
        assert c.journal.entries()[1].facts == {"facts": {"server_id": "s-1"}}

    give = make_step("one", lambda c: c.remember(server_id="s-1"), promises=frozenset({"server_id"}))
    run_plan(plan_of(recipe, give, make_step("two", look)), context, context.journal)
    assert events(context)[-1] == ("step_done", "two")


def test_a_failed_step_is_written_down_and_nothing_runs_after_it(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    error = CloudRefused("quota", hint="ask", details=["line"])

    def fail(c: Context) -> None:
        raise error

    plan = plan_of(recipe, make_step("one", fail), make_step("two", lambda c: pytest.fail("ran")))
    with pytest.raises(Failure, match="one: quota") as caught:
        run_plan(plan, context, context.journal)
    assert (caught.value.step, caught.value.error) == ("one", error)
    last = context.journal.entries()[-1]
    assert last.event == "step_failed"
    assert {key: last.facts[key] for key in ("step", "error", "message", "details")} == {
        "step": "one",
        "error": "CloudRefused",
        "message": "quota",
        "details": ["line"],
    }


def test_a_defect_becomes_a_failure_with_its_trace_in_the_journal_only(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    Secret("secret-in-a-defect")

    def break_down(c: Context) -> None:
        raise KeyError("secret-in-a-defect")

    with pytest.raises(Failure) as caught:
        run_plan(plan_of(recipe, make_step("one", break_down)), context, context.journal)
    error = caught.value.error
    assert isinstance(error, StepFailed)
    assert str(error).startswith("one broke: KeyError")
    assert "defect of imagebuild" in error.hint
    assert "Traceback" not in f"{error}{error.details}"
    bug = next(entry for entry in context.journal.entries() if entry.event == "bug")
    assert "break_down" in bug.facts["trace"]
    assert "secret-in-a-defect" not in (context.folder / "journal.jsonl").read_text()
    assert events(context)[-1] == ("step_failed", "one")


def test_ctrl_c_in_a_step_is_a_failure_of_its_own_kind(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    def interrupt(c: Context) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Failure) as caught:
        run_plan(plan_of(recipe, make_step("one", interrupt)), context, context.journal)
    assert isinstance(caught.value.error, Interrupted)
    assert caught.value.error.exit_code == 130
    assert events(context)[-1] == ("step_failed", "one")


def test_ctrl_c_between_two_steps_is_one_as_well(
    recipe: Recipe, context: Context, make_step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write

    def interrupted_write(self: Journal, event: str, **facts: Any) -> None:
        if event == "step_done":
            raise KeyboardInterrupt
        write(self, event, **facts)

    monkeypatch.setattr(Journal, "write", interrupted_write)
    with pytest.raises(Failure) as caught:
        run_plan(plan_of(recipe, make_step("one"), make_step("two")), context, context.journal)
    assert isinstance(caught.value.error, Interrupted)


def test_a_step_that_does_not_give_what_it_promised_has_failed(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    step = make_step("one", promises=frozenset({"b", "a"}))
    with pytest.raises(Failure, match="one did not give a, b"):
        run_plan(plan_of(recipe, step), context, context.journal)


def test_steps_that_were_done_are_left_out(recipe: Recipe, context: Context, make_step: Callable[..., Step]) -> None:
    ran: list[str] = []
    steps = [make_step(word, lambda c, word=word: ran.append(word)) for word in ("one", "two", "three")]
    run_plan(plan_of(recipe, *steps), context, context.journal, skip={1, 3})
    assert ran == ["two"]
    assert [entry.facts["number"] for entry in context.journal.entries()] == [2, 2]


def test_before_each_step_somebody_may_look_and_refuse(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    seen: list[tuple[int, str]] = []

    def before(planned: PlannedStep) -> None:
        seen.append((planned.number, context.step_digest))
        if planned.number == 2:
            raise Busy("the claim is lost")

    plan = plan_of(recipe, make_step("one"), make_step("two", lambda c: pytest.fail("ran")))
    with pytest.raises(Failure, match="two: the claim is lost"):
        run_plan(plan, context, context.journal, before=before)
    assert seen == [(1, "digest-1"), (2, "digest-2")]
    last = context.journal.entries()[-1]
    assert (last.event, last.facts["step"], last.facts["error"]) == ("step_failed", "two", "Busy")


def test_a_step_is_tried_again_as_often_as_asked_and_knows_it(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    attempts: list[int] = []
    errors = [StepFailed("a verdict"), GuestUnreachable("a lost link"), StepFailed("a verdict")]

    def fail(c: Context) -> None:
        attempts.append(c.attempt)
        if errors:
            raise errors.pop(0)

    asked: list[str] = []

    def again(failure: Failure) -> bool:
        asked.append(str(failure.error))
        return True

    run_plan(plan_of(recipe, make_step("one", fail), make_step("two")), context, context.journal, again=again)
    assert asked == ["a verdict", "a lost link", "a verdict"]
    assert attempts == [0, 1, 1, 2], "only what looked at its result and found it bad is another attempt"
    assert events(context)[-1] == ("step_done", "two")


def test_ctrl_c_before_a_step_is_a_failure_as_well(
    recipe: Recipe, context: Context, make_step: Callable[..., Step]
) -> None:
    def before(planned: PlannedStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Failure) as caught:
        run_plan(plan_of(recipe, make_step("one")), context, context.journal, before=before)
    assert isinstance(caught.value.error, Interrupted)


@pytest.mark.parametrize("event", ["step_begun", "step_done"])
def test_a_journal_that_cannot_be_written_is_a_failure_so_that_somebody_cleans_up(
    recipe: Recipe,
    context: Context,
    make_step: Callable[..., Step],
    monkeypatch: pytest.MonkeyPatch,
    event: str,
) -> None:
    refuse_lines(monkeypatch, event)
    ran: list[int] = []
    with pytest.raises(Failure, match="disk is full"):
        run_plan(plan_of(recipe, make_step("one", lambda c: ran.append(1))), context, context.journal)
    assert ran == ([] if event == "step_begun" else [1])


def test_why_a_step_failed_is_told_even_when_the_journal_is_full_as_well(
    recipe: Recipe, context: Context, make_step: Callable[..., Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(c: Context) -> None:
        raise CloudRefused("quota")

    refuse_lines(monkeypatch, "step_failed")
    with pytest.raises(Failure, match="one: quota"):
        run_plan(plan_of(recipe, make_step("one", fail)), context, context.journal)


def refuse_lines(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    write = Journal.write

    def full(self: Journal, event: str, **facts: Any) -> None:
        if event == refused:
            raise ImagebuildError("the disk is full")
        write(self, event, **facts)

    monkeypatch.setattr(Journal, "write", full)
