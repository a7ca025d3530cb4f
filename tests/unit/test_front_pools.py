"""The pool tasks as Invoke sees them: what they hand on, and which exit code a CI server gets."""

from pathlib import Path
from typing import Any

import pytest
from invoke import Config, Context
from invoke.exceptions import Exit

from imagebuild.errors import RollRefused
from imagebuild.front import pools as front
from imagebuild.jobs import pools


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Config(overrides={"project": str(tmp_path)}))


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", ["roll", "go_on", "status", "abort", "rollback"])
def test_the_rolls_end_is_the_exit_code(
    context: Context, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    monkeypatch.setattr(pools, name, lambda *args, **more: code)
    if code == 0:
        getattr(front, name)(context, "staff")
        return
    with pytest.raises(Exit) as caught:
        getattr(front, name)(context, "staff")
    assert caught.value.code == code


def test_what_was_asked_is_handed_on(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def roll(*args: Any, **more: Any) -> int:
        asked.append((args, more))
        return 0

    monkeypatch.setattr(pools, "roll", roll)
    front.roll(context, "staff", to="win7-vdi-v4", canary="desktop-3", yes=True)
    (name, settings, _), more = asked[0]
    assert (name, settings.project) == ("staff", Path(context.project))
    assert {key: more[key] for key in ("to", "canary", "yes")} == {
        "to": "win7-vdi-v4",
        "canary": "desktop-3",
        "yes": True,
    }


def test_a_refused_plan_is_code_two(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*args: Any, **more: Any) -> None:
        raise RollRefused("the roll of staff to small-v2 may not begin: 1 reasons", details=["refuse image: gone"])

    monkeypatch.setattr(pools, "plan", plan)
    with pytest.raises(Exit) as caught:
        front.plan(context, "staff")
    assert caught.value.code == 2
    assert "refuse image: gone" in caught.value.message
