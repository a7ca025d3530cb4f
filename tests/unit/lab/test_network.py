"""What the lab does to the machine's network: the commands it gives, and what it takes for its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuild.lab import network
from imagebuild.lab.layout import SUBNET, Layout

PLACE = Layout(Path("/lab"))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], list[str]]:
    """Replaces `ip`: answers by the words of the command, and keeps what was asked."""

    def install(answers: dict[str, object]) -> list[str]:
        asked: list[str] = []

        def ip(*arguments: str) -> str:
            asked.append(" ".join(arguments))
            return next((json.dumps(answer) for words, answer in answers.items() if words in asked[-1]), "")

        monkeypatch.setattr(network, "_ip", ip)
        return asked

    return install


def test_the_subnet_is_blocked_behind_every_other_route(commands: Callable[[dict[str, object]], list[str]]) -> None:
    asked = commands({})
    network.block_subnet()
    assert asked == [f"route replace unreachable {SUBNET} metric {network.METRIC}"]
    assert network.METRIC > 10_000_000


def test_it_is_unblocked_only_when_it_is_blocked(commands: Callable[[dict[str, object]], list[str]]) -> None:
    asked = commands({})
    network.unblock_subnet()
    assert not any(" del " in f" {command} " for command in asked)
    asked = commands({"type unreachable": [{"dst": SUBNET, "metric": network.METRIC}]})
    network.unblock_subnet()
    assert asked[-1] == f"route del unreachable {SUBNET} metric {network.METRIC}"


def test_somebody_elses_use_of_the_subnet_is_found(commands: Callable[[dict[str, object]], list[str]]) -> None:
    commands({"root": [{"dst": SUBNET, "dev": "ibl0123"}, {"type": "unreachable", "dst": SUBNET}]})
    assert network.find_foreign_route() is None
    commands({"root": [{"dst": "172.16.100.0/25", "dev": "docker0"}]})
    assert network.find_foreign_route() == "172.16.100.0/25 dev docker0"


def test_only_bridges_with_our_mark_go_and_their_taps_with_them(
    commands: Callable[[dict[str, object]], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bridge, mark in (("ibl1", PLACE.mark), ("ibl2", "imagebuild-lab:/elsewhere"), ("br0", "")):
        (tmp_path / bridge / "brif" / "tap1").mkdir(parents=True)
        (tmp_path / bridge / "brif" / "eth5").mkdir()
        (tmp_path / bridge / "ifalias").write_text(mark + "\n", encoding="utf-8")
    monkeypatch.setattr(network, "INTERFACES", tmp_path)
    asked = commands({})
    network.remove_bridges(PLACE)
    assert asked == ["link del tap1", "link del ibl1"]
