"""Context and Step: facts go to the disk first, the guest is connected once and when needed, names register steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild import step as step_module
from imagebuild.guest import Guest
from imagebuild.journal import Journal
from imagebuild.secrets import Secret
from imagebuild.step import Context, Step, registered_steps
from tests.fakes.guest import FakeGuest
from tests.unit.examples import context as make_context
from tests.unit.examples import header


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = make_context(tmp_path / "build-1")
    yield made
    made.journal.close()


def test_facts_are_on_the_disk_before_they_are_known_here(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(self: Journal, event: str, **facts: object) -> None:
        raise KeyboardInterrupt

    context.remember(server_id="s-1")
    monkeypatch.setattr(Journal, "write", cut)
    with pytest.raises(KeyboardInterrupt):
        context.remember(server_id="s-2")
    assert context.facts == {"server_id": "s-1"}
    assert [entry.facts for entry in context.journal.entries()] == [{"facts": {"server_id": "s-1"}}]


def test_the_guest_is_connected_once_with_what_reach_guest_found(context: Context) -> None:
    calls: list[tuple[str, Secret, str | None]] = []
    guests: list[FakeGuest] = []

    def connect(address: str, password: Secret, certificate: str | None) -> Guest:
        calls.append((address, password, certificate))
        guests.append(FakeGuest(context.clock))
        return guests[-1]

    context.connect = connect
    with pytest.raises(KeyError, match="guest_address"):
        _ = context.guest
    context.facts |= {"guest_address": "10.0.0.5", "guest_certificate": "ab" * 32}
    assert context.guest is context.guest
    assert calls == [("10.0.0.5", context.password, "ab" * 32)]
    context.disconnect()
    context.disconnect()
    assert guests[0].closed == 1
    assert context.guest is not guests[0]


def test_a_deadline_is_on_the_contexts_clock(context: Context) -> None:
    deadline = context.deadline(2)
    assert deadline.left() == 120
    context.clock.sleep(100)
    assert deadline.left() == 20


def test_the_builders_password_is_not_in_the_contexts_text(context: Context) -> None:
    assert context.password.reveal() not in repr(context)


def test_a_class_with_a_name_is_a_step_and_one_without_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "_registry", dict(step_module._registry))
    before = set(registered_steps())

    class Shared(Step):
        """What two steps share."""

    class Real(Shared):
        name = "real-step"
        title = "a real one"

    assert set(registered_steps()) - before == {"real-step"}
    assert registered_steps()["real-step"] is Real
    assert list(registered_steps()) == sorted(registered_steps())


def test_what_a_step_says_when_it_says_nothing_of_its_own(context: Context) -> None:
    step = Step()
    assert (step.media(), step.inputs(Path()), step.check(header())) == (frozenset(), {}, ())
    with pytest.raises(NotImplementedError):
        step.run(context)
