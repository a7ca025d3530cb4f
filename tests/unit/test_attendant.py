"""The person beside a build: asked only when there is one, and whoever does not answer loses nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagebuild.attendant import PATIENCE_SECONDS, Attendant, Wishes
from imagebuild.errors import RecipeError, StepFailed
from imagebuild.plan import PlannedStep
from imagebuild.runner import Failure
from imagebuild.step import Context
from imagebuild.steps.updates import Updates
from tests.unit.examples import context as make_context

STEPS = ["boot-builder", "updates", "generalize"]
FAILURE = Failure("updates", StepFailed("it broke", hint="mend it", details=["line 1", "line 2"]))


@dataclass
class Person:
    """Answers in this order; None stands for nobody, an exception for what the terminal does."""

    answers: list[str | None | type[BaseException]]
    asked: list[str] = field(default_factory=list)

    def ask(self, question: str, *, seconds: float) -> str | None:
        """attendant.Terminal."""
        assert seconds == PATIENCE_SECONDS
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, type):
            raise answer
        return answer


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = make_context(tmp_path / "build-1")
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("wishes", "words", "hint"),
    [
        (Wishes("explode"), "--on-error is 'explode'", "known are undo, keep, ask"),
        (Wishes(pause_before="update"), "no step 'update'", "did you mean updates?"),
        (Wishes(pause_before="xyz"), "no step 'xyz'", "its steps are boot-builder, updates, generalize"),
        (Wishes("ask"), "--on-error ask needs somebody at a terminal", "builds.resume"),
        (Wishes(pause_before="updates"), "--pause-before needs somebody at a terminal", "builds.resume"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_is_made(wishes: Wishes, words: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        wishes.check(STEPS, None)
    assert hint in caught.value.hint


def test_wishes_that_can_be_met() -> None:
    Wishes().check(STEPS, None)
    Wishes("keep").check(STEPS, None)
    Wishes("ask", "generalize").check(STEPS, Person([]))


@pytest.mark.parametrize(("wish", "keeps"), [("undo", False), ("keep", True)])
def test_without_ask_nobody_is_asked(context: Context, wish: str, keeps: bool) -> None:
    attendant = Attendant(Wishes(wish), context, terminal=Person([]))
    assert not attendant.again(FAILURE)
    assert attendant.keeps is keeps


@pytest.mark.parametrize(
    ("answers", "again", "keeps"),
    [
        (["u"], False, False),
        (["Undo"], False, False),
        (["k"], False, True),
        (["", "what?", "r"], True, True),
        ([None], False, True),
        ([KeyboardInterrupt], False, True),
    ],
)
def test_the_answer_decides_and_no_answer_keeps(
    context: Context, answers: list[str | None | type[BaseException]], again: bool, keeps: bool
) -> None:
    person = Person(answers)
    attendant = Attendant(Wishes("ask"), context, terminal=person)
    assert attendant.again(FAILURE) is again
    assert attendant.keeps is keeps
    assert person.answers == []


def test_the_question_says_what_failed_and_how_to_look_at_it(context: Context) -> None:
    context.facts["guest_address"] = "10.0.0.9"
    person = Person(["k"])
    Attendant(Wishes("ask"), context, terminal=person).again(FAILURE)
    assert person.asked == [
        "step updates failed: it broke\n  | line 1\n  | line 2\n  advice: mend it\n"
        f"  log on at 10.0.0.9 as Administrator; the password is in {context.folder / 'password'}\n"
        "undo, keep, or retry the step? [u/k/r] "
    ]


def test_a_pause_waits_for_enter_before_its_step_only(context: Context) -> None:
    person = Person([""])
    attendant = Attendant(Wishes(pause_before="updates"), context, terminal=person)
    step = PlannedStep(2, Updates(), "digest")
    assert attendant.waits_before(step)
    attendant.wait(step)
    assert person.asked == ["pause before updates\nEnter goes on, Ctrl-C ends the build: "]
    assert not Attendant(Wishes(), context, terminal=person).waits_before(step)


def test_a_terminal_that_is_gone_while_it_pauses_interrupts_the_build(context: Context) -> None:
    attendant = Attendant(Wishes(pause_before="updates"), context, terminal=Person([None]))
    with pytest.raises(KeyboardInterrupt):
        attendant.wait(PlannedStep(2, Updates(), "digest"))
