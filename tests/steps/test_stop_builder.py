"""stop-builder: off by Nova's orderly stop, and never taken for sealed."""

from dataclasses import replace

import pytest

from imagebuild.errors import CloudUnreachable, DeadlinePassed, StepFailed
from imagebuild.steps.stop_builder import StopBuilder
from tests.steps.conftest import World


def test_the_builder_is_off_and_not_sealed(standing: World) -> None:
    StopBuilder().run(standing.context)
    server = standing.cloud.server(standing.builder())
    assert server is not None
    assert (server.status, server.task_state) == ("SHUTOFF", None)
    assert standing.remembered()["off"] == "stopped through Nova"
    assert "sealed" not in standing.facts


@pytest.mark.parametrize("call", ["stop_server", "server"])
def test_a_second_run_takes_up_what_a_cut_off_one_has_begun(standing: World, call: str) -> None:
    standing.cloud.faults.lose_answer(call)
    with pytest.raises(CloudUnreachable):
        StopBuilder().run(standing.context)
    StopBuilder().run(standing.context)
    StopBuilder().run(standing.context)
    assert [act.name for act in standing.cloud.actions(standing.builder())] == ["create", "stop"]


def test_a_builder_that_somebody_deletes_is_not_waited_for(standing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing.cloud, "server", lambda server_id: None)
    with pytest.raises(StepFailed, match="somebody deleted it"):
        StopBuilder().run(standing.context)
    assert "off" not in standing.facts


def test_a_stop_that_fails_is_told_with_novas_reason(standing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    look = standing.cloud.server

    def broken(server_id: str) -> object:
        server = look(server_id)
        return server and replace(server, status="ERROR", fault="libvirt went away")

    monkeypatch.setattr(standing.cloud, "server", broken)
    with pytest.raises(StepFailed, match="Nova could not stop the builder: libvirt went away"):
        StopBuilder().run(standing.context)


def test_a_stop_that_never_ends_ends_with_the_deadline(standing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing.cloud, "_set", lambda server_id, **changes: None)
    with pytest.raises(DeadlinePassed, match="waited 120 s for Nova to stop the builder"):
        StopBuilder(deadline_minutes=2).run(standing.context)
    assert "off" not in standing.facts
