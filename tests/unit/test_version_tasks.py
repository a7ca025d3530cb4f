"""The front of an image's life: what is typed arrives, and nothing is deleted unless somebody says so."""

import builtins
import sys
from typing import Any

import pytest

from imagebuild.jobs import version_changes, versions
from tests.unit.test_tasks import invoke, no_cloud

__all__ = ["invoke", "no_cloud"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What reaches the jobs: name of the job, what was typed, the switches."""
    found: list[tuple[object, ...]] = []

    def note(name: str) -> Any:
        def job(*words: object, **switches: object) -> None:
            found.append((name, *(word for word in words if isinstance(word, str)), switches))

        return job

    for name in ("promote", "rollback", "reject", "prune"):
        monkeypatch.setattr(version_changes, name, note(name))
    for name in ("images", "show", "differ"):
        monkeypatch.setattr(versions, name, note(name))
    return found


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["images"], ("images", {})),
        (["images", "--recipe", "r"], ("images", "r", {})),
        (["images.show", "r-v1"], ("show", "r-v1", {})),
        (["images.diff", "r-v1", "r-v2"], ("differ", "r-v1", "r-v2", {})),
        (["promote", "r-v1"], ("promote", "r-v1", {"unverified": False})),
        (["promote", "r-v1", "--unverified"], ("promote", "r-v1", {"unverified": True})),
        (["rollback", "r"], ("rollback", "r", {"to": "", "reason": ""})),
        (["rollback", "r", "--to", "r-v1", "--reason", "bad"], ("rollback", "r", {"to": "r-v1", "reason": "bad"})),
        (["reject", "r-v1", "--reason", "bad"], ("reject", "r-v1", {"reason": "bad", "dangerous": False})),
        (["reject", "r-v1", "--dangerous"], ("reject", "r-v1", {"reason": "", "dangerous": True})),
    ],
)
def test_what_is_typed_arrives(invoke: Any, given: list[Any], words: list[str], wanted: tuple[object, ...]) -> None:
    assert invoke(*words)[0] == 0
    assert given == [wanted]


@pytest.mark.parametrize(
    ("words", "keep", "yes"), [([], None, False), (["--keep", "5"], 5, False), (["--keep", "1", "--yes"], 1, True)]
)
def test_prune_takes_its_number(invoke: Any, given: list[Any], words: list[str], keep: int | None, yes: bool) -> None:
    assert invoke("prune", "r", *words)[0] == 0
    ((name, recipe, switches),) = given
    assert (name, recipe, switches["keep"], switches["yes"]) == ("prune", "r", keep, yes)


@pytest.mark.parametrize(
    ("typed", "wanted"), [("yes", True), (" yes ", True), ("y", False), ("", False), ("YES!", False), (None, False)]
)
def test_only_a_whole_yes_is_one(
    invoke: Any, given: list[Any], monkeypatch: pytest.MonkeyPatch, typed: str | None, wanted: bool
) -> None:
    def answer(question: str) -> str:
        assert question == "delete r-v1? (yes/no) "
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", answer)
    invoke("prune", "r")
    assert given[0][-1]["ask"]("delete r-v1") is wanted


@pytest.mark.parametrize(("words", "terminal"), [(["prune", "r"], False), (["prune", "r", "--json"], True)])
def test_where_nobody_can_answer_nobody_is_asked(
    invoke: Any, given: list[Any], monkeypatch: pytest.MonkeyPatch, words: list[str], terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal)
    monkeypatch.setattr(builtins, "input", lambda question: pytest.fail("somebody was asked"))
    invoke(*words)
    assert given[0][-1]["ask"]("delete r-v1") is False


def test_a_word_too_few_is_told_before_any_cloud_call(invoke: Any) -> None:
    for words in (["promote"], ["images.diff", "r-v1"], ["rollback"], ["prune"], ["images.show"], ["reject"]):
        code, out, err = invoke(*words)
        assert code != 0
        assert "did not receive required positional arguments" in err
