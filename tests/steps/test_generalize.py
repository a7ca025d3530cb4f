"""generalize: only a machine that sealed itself and went off by itself is an image; everything else says what happened."""

from typing import Any
from xml.etree import ElementTree

import pytest

from imagebuild.errors import CloudUnreachable, DeadlinePassed, GuestUnreachable, ScriptFailed, SessionLost, StepFailed
from imagebuild.secrets import hide
from imagebuild.steps.generalize import Generalize
from tests.fakes.kill import Killed
from tests.steps.conftest import CERTIFICATE, World, answer
from tests.unit.examples import TEMPLATES

PHASES = ["checking", "answer_file", "sysprep", "clearing", "releasing", "shutdown"]
ACCESS_DENIED = answer("Get-GeneralizeOutcome", "fails by access_denied")


def act(world: World, *phases: str, off: bool = True, every: float = 30) -> None:
    """Start-Generalize does that: a phase on the console every so many seconds, then the machine goes off (and WinRM with it)."""
    server = world.builder()

    def play(parameters: dict[str, Any], say: Any) -> dict[str, Any]:
        for number, phase in enumerate(phases):
            world.cloud._after(number * every, lambda phase=phase: world.cloud.say(server, f"imagebuild: {phase}"))
        if off:
            world.cloud._after(len(phases) * every, go_off)
        return {}

    def go_off() -> None:
        world.guest.up = False
        world.cloud.power_off(server)

    world.guest.plays("Start-Generalize", play)


@pytest.fixture
def ready(standing: World) -> World:
    standing.facts["checks"] = {}
    standing.cloud.say(standing.builder(), f"imagebuild: winrm certificate sha256={CERTIFICATE}")
    return standing


def test_a_sealed_machine_that_went_off_is_one(ready: World) -> None:
    act(ready, *PHASES)
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": PHASES}
    assert ready.told.notes[-6:] == PHASES
    server = ready.cloud.server(ready.builder())
    assert server is not None
    assert server.status == "SHUTOFF"


def test_each_phase_is_told_once(ready: World) -> None:
    act(ready, *PHASES)
    Generalize().run(ready.context)
    assert [note for note in ready.told.notes if note in PHASES] == PHASES


def test_the_act_gets_all_it_needs_and_nobody_keeps_its_password(ready: World) -> None:
    act(ready, *PHASES)
    Generalize(sysprep_minutes=7, shutdown_seconds=9).run(ready.context)
    (sent,) = ready.guest.parameters_of("Start-Generalize")
    root = ElementTree.fromstring(sent["answer_file"].encode())  # noqa: S314
    (value,) = root.findall(".//{*}AdministratorPassword/{*}Value")
    assert hide(value.text or "") == "***"
    assert (sent["deadline_seconds"], sent["shutdown_seconds"], sent["serial_port"]) == (420, 9, "COM1")
    assert sent["traces"]["certificates"] == [CERTIFICATE]
    assert sent["traces"]["task_prefix"] == "imagebuild-"
    assert sent["task"].startswith("imagebuild-")
    assert sent["remove_after"] == [r"C:\imagebuild"]


def test_without_a_pinned_certificate_there_is_no_listener_of_ours_to_remove(ready: World) -> None:
    ready.facts["guest_certificate"] = None
    act(ready, *PHASES)
    Generalize().run(ready.context)
    assert ready.guest.parameters_of("Start-Generalize")[0]["traces"] == {"task_prefix": "imagebuild-"}


def test_what_earlier_steps_asked_for_is_done_before_it(ready: World) -> None:
    ready.guest.returns("Set-BrokerAgent", answer("Set-BrokerAgent", "sealed leaves no registration"))
    ready.facts["before_generalize"] = [{"script": "Set-BrokerAgent", "parameters": {"goal": "sealed"}}]
    act(ready, *PHASES)
    Generalize().run(ready.context)
    assert [script for script, _, _ in ready.guest.ran] == ["Set-BrokerAgent", "Start-Generalize"]


def test_our_session_is_closed_while_windows_seals_itself(ready: World) -> None:
    act(ready, *PHASES)
    Generalize().run(ready.context)
    assert ready.guest.closed == 1


def test_an_agent_that_cannot_be_sealed_starts_no_sysprep(ready: World) -> None:
    ready.guest.breaks("Set-BrokerAgent", "the service does not stop")
    ready.facts["before_generalize"] = [{"script": "Set-BrokerAgent", "parameters": {"goal": "sealed"}}]
    act(ready, *PHASES)
    with pytest.raises(ScriptFailed, match="does not stop"):
        Generalize().run(ready.context)
    assert ready.guest.parameters_of("Start-Generalize") == []


def test_a_failed_sysprep_is_told_with_windows_reason(ready: World) -> None:
    act(ready, "checking", "answer_file", "sysprep", "failed sysprep", off=False)
    ready.guest.returns("Get-GeneralizeOutcome", ACCESS_DENIED)
    with pytest.raises(StepFailed, match="generalize failed sysprep: Windows denied sysprep access") as caught:
        Generalize().run(ready.context)
    assert caught.value.hint == ACCESS_DENIED["reason"]["fix"]
    assert any("TapiSysPrepGeneralize" in line for line in caught.value.details)
    assert ready.clock.slept < 300
    assert "sealed" not in ready.facts


def test_a_failure_without_a_known_reason_tells_phase_and_state(ready: World) -> None:
    act(ready, "checking", "failed checking", off=False)
    ready.guest.returns("Get-GeneralizeOutcome", answer("Get-GeneralizeOutcome", "before anything began"))
    with pytest.raises(StepFailed, match="phase sysprep, state IMAGE_STATE_COMPLETE"):
        Generalize().run(ready.context)


def test_a_guest_that_can_no_longer_be_asked_does_not_hide_the_failure(ready: World) -> None:
    act(ready, "checking", "sysprep", "failed sysprep", off=False)
    ready.guest.faults.fail("run", GuestUnreachable("refused"))
    with pytest.raises(StepFailed, match="generalize failed sysprep") as caught:
        Generalize().run(ready.context)
    assert caught.value.details == ("checking", "sysprep", "failed sysprep", "the guest could not be asked: refused")


@pytest.mark.parametrize("last", range(1, len(PHASES)))
def test_off_in_any_other_phase_is_no_image(ready: World, last: int) -> None:
    act(ready, *PHASES[:last])
    with pytest.raises(StepFailed, match=f"went off in the phase '{PHASES[last - 1]}', before it was sealed"):
        Generalize().run(ready.context)
    assert "sealed" not in ready.facts


@pytest.mark.parametrize("action", ["stop", "reboot", "rebuild", "migrate"])
def test_a_machine_that_somebody_else_acted_on_is_no_image(ready: World, action: str) -> None:
    act(ready, *PHASES)
    ready.cloud.act_as("an-operator", ready.builder(), action)
    with pytest.raises(StepFailed, match=f"somebody else acted on the builder \\({action}\\)"):
        Generalize().run(ready.context)
    assert "sealed" not in ready.facts


def test_a_stop_through_nova_in_the_middle_is_somebodys_act(ready: World) -> None:
    act(ready, "checking", "sysprep", off=False)
    ready.cloud._after(40, lambda: ready.cloud.stop_server(ready.builder()))
    with pytest.raises(StepFailed, match="somebody else acted on the builder"):
        Generalize().run(ready.context)


def test_acts_that_leave_the_disk_alone_do_not_matter(ready: World) -> None:
    act(ready, *PHASES)
    ready.cloud.act_as("an-operator", ready.builder(), "createImage")
    Generalize().run(ready.context)
    assert "sealed" in ready.facts


def test_off_with_a_silent_console_is_no_image(ready: World) -> None:
    act(ready)
    with pytest.raises(StepFailed, match="its console does not say why") as caught:
        Generalize().run(ready.context)
    assert "serial_port" in caught.value.hint


def test_words_after_the_seal_undo_it(ready: World) -> None:
    act(ready, *PHASES, "winrm ready")  # it came up again before it went off
    with pytest.raises(StepFailed, match="went off in the phase 'winrm ready'"):
        Generalize().run(ready.context)


def test_a_builder_that_is_deleted_meanwhile(ready: World) -> None:
    act(ready, "checking", off=False)
    server = ready.builder()
    ready.cloud._after(60, lambda: ready.cloud._machines.pop(server))
    with pytest.raises(StepFailed, match="somebody deleted it"):
        Generalize().run(ready.context)


def test_a_sysprep_that_never_ends_is_explained_at_the_deadline(ready: World) -> None:
    act(ready, "checking", "sysprep", off=False)
    ready.guest.returns("Get-GeneralizeOutcome", answer("Get-GeneralizeOutcome", "never ends"))
    with pytest.raises(
        StepFailed, match=r"waited 600 s for the builder to shut itself down: sysprep did not end"
    ) as caught:
        Generalize(deadline_minutes=10).run(ready.context)
    assert "TiWorker" in caught.value.hint


def test_a_second_run_waits_for_the_act_of_the_first_and_starts_none(ready: World) -> None:
    act(ready, *PHASES)
    ready.cloud._after(100, lambda: ready.cloud.faults.fail("server", CloudUnreachable("503")))
    with pytest.raises(CloudUnreachable):
        Generalize().run(ready.context)
    Generalize().run(ready.context)
    assert len(ready.guest.parameters_of("Start-Generalize")) == 1
    assert "sealed" in ready.facts


def test_a_second_run_after_it_went_off_needs_no_guest(ready: World) -> None:
    act(ready, *PHASES)
    Generalize().run(ready.context)
    del ready.facts["sealed"]
    Generalize().run(ready.context)
    assert "sealed" in ready.facts


def test_a_lost_answer_to_the_start_is_asked_for_again(ready: World) -> None:
    act(ready, *PHASES)
    ready.guest.faults.lose_answer("start_as_system")
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": PHASES}
    assert len(ready.guest.parameters_of("Start-Generalize")) == 1


def test_a_machine_that_is_off_before_it_could_answer_is_not_waited_for(ready: World) -> None:
    """A busy host: the act is over while its start is still on its way back. Only a clone can show the seal then."""
    act(ready, *PHASES, every=1)
    start = ready.guest.start_as_system

    def slow(*words: Any, **more: Any) -> None:
        start(*words, **more)
        pass_time(ready)
        raise SessionLost("no answer")

    ready.guest.start_as_system = slow  # type: ignore[method-assign]
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": [], "unseen": True}


def kill_after_the_start(ready: World) -> None:
    """Run it, and kill -9 it when the guest has begun."""
    start = ready.guest.start_as_system

    def killed(*words: Any, **more: Any) -> None:
        start(*words, **more)
        ready.guest.start_as_system = start  # type: ignore[method-assign]
        raise Killed

    ready.guest.start_as_system = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        Generalize().run(ready.context)


def test_its_answer_file_is_part_of_the_digest() -> None:
    assert list(Generalize().inputs(TEMPLATES)) == ["template"]


def test_nobody_waits_longer_than_the_deadline(ready: World) -> None:
    act(ready, "checking", off=False)
    ready.guest.faults.fail("run", DeadlinePassed("no answer"))
    with pytest.raises(StepFailed, match="waited 120 s"):
        Generalize(deadline_minutes=2).run(ready.context)
    assert ready.clock.slept < 200


# ---------------------------------------------------------------------------------------------------------- cut off


def cut_off_in(world: World, phase: str) -> None:
    """The controller dies when it has heard that phase; the guest goes on."""
    note = world.told.note

    def die(text: str) -> None:
        note(text)
        if text == phase:
            raise Killed

    world.context.report.note = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        Generalize().run(world.context)
    world.context.report.note = note  # type: ignore[method-assign]


def pass_time(world: World) -> None:
    """So long that the machine is off, and its console gone."""
    for _ in range(2):
        world.clock.sleep(600)
        world.cloud.go_on()


def test_a_second_run_takes_up_the_act_and_sees_the_seal(ready: World) -> None:
    act(ready, *PHASES)
    cut_off_in(ready, "sysprep")
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": PHASES}
    assert len(ready.guest.parameters_of("Start-Generalize")) == 1


def test_a_seal_that_nobody_saw_is_marked_as_such(ready: World) -> None:
    act(ready, *PHASES)
    cut_off_in(ready, "sysprep")
    pass_time(ready)
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": PHASES[:2], "unseen": True}
    assert any("nobody saw" in line for line in ready.told.warnings)


def test_a_machine_that_somebody_stopped_meanwhile_is_no_image(ready: World) -> None:
    act(ready, *PHASES, off=False)
    cut_off_in(ready, "sysprep")
    ready.cloud.stop_server(ready.builder())
    ready.clock.sleep(600)
    with pytest.raises(StepFailed, match="somebody else acted on the builder"):
        Generalize().run(ready.context)


def test_an_act_that_was_asked_for_and_never_heard_of_is_found_again(ready: World) -> None:
    """Cut off between the start and its first word: the same request with the same password, so the same job."""
    act(ready, *PHASES)
    ready.guest.returns("Set-BrokerAgent", answer("Set-BrokerAgent", "sealed leaves no registration"))
    ready.facts["before_generalize"] = [{"script": "Set-BrokerAgent", "parameters": {"goal": "sealed"}}]
    kill_after_the_start(ready)
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": PHASES}
    assert [script for script, _, _ in ready.guest.ran] == ["Set-BrokerAgent", "Start-Generalize"]


def test_an_act_that_ended_before_anybody_heard_of_it(ready: World) -> None:
    act(ready, *PHASES, every=1)
    kill_after_the_start(ready)
    pass_time(ready)
    Generalize().run(ready.context)
    assert ready.remembered()["sealed"] == {"phases": [], "unseen": True}
