"""The front of a pool's making: what is typed arrives."""

from typing import Any

import pytest

from imagebuild.jobs import pool_making
from tests.unit.test_tasks import invoke, no_cloud

__all__ = ["invoke", "no_cloud"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["pool.network", "staff"], ("network", "staff", {"check": False})),
        (["pool.network", "staff", "--check"], ("network", "staff", {"check": True})),
        (["pool.create", "staff"], ("create", "staff", {"version": ""})),
        (["pool.create", "staff", "--to", "win7-vdi-v1"], ("create", "staff", {"version": "win7-vdi-v1"})),
        (["pool.adopt", "staff"], ("adopt", "staff", {"yes": False, "persistent": ""})),
        (
            ["pool.adopt", "staff", "--yes", "--persistent", "desktop-1"],
            ("adopt", "staff", {"yes": True, "persistent": "desktop-1"}),
        ),
    ],
)
def test_what_is_typed_arrives(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: tuple[object, ...]
) -> None:
    given: list[tuple[object, ...]] = []

    def note(name: str) -> Any:
        def job(pool: str, *_: object, **switches: object) -> None:
            given.append((name, pool, {key: value for key, value in switches.items() if key != "ask"}))

        return job

    for name in ("network", "create", "adopt"):
        monkeypatch.setattr(pool_making, name, note(name))
    assert invoke(*words)[0] == 0
    assert given == [wanted]


def test_a_pool_that_does_not_exist_is_told_with_its_neighbour_before_any_cloud_call(invoke: Any) -> None:
    for task in ("pool.network", "pool.create", "pool.adopt"):
        code, _, err = invoke(task, "staf")
        assert code == 2
        assert "there is no pool 'staf'" in err and "did you mean staff?" in err
