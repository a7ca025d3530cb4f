"""virtio-drivers: staged is not boot-ready, and what would stop with 0x7B is never published."""

import pytest

from imagebuild.errors import SessionLost, StepFailed
from imagebuild.recipe_header import Header
from imagebuild.steps.virtio_drivers import VirtioDrivers
from tests.steps.conftest import World, answer
from tests.unit.examples import header

INSTALLED = answer("Install-VirtioDrivers", "Windows 7, old syntax")
READY = answer("Get-DriverState", "driver state: ready")


def step(**values: object) -> VirtioDrivers:
    return VirtioDrivers.model_validate({"media": "drivers-cd", **values})


@pytest.fixture
def guest_ready(windows: World) -> World:
    windows.guest.returns("Install-VirtioDrivers", INSTALLED)
    windows.guest.returns("Get-DriverState", READY)
    return windows


def test_drivers_are_installed_as_system_and_looked_at_after_the_restart(guest_ready: World) -> None:
    step().run(guest_ready.context)
    assert [(script, who) for script, _, who in guest_ready.guest.ran] == [
        ("Install-VirtioDrivers", "SYSTEM"),
        ("Get-DriverState", "administrator"),
    ]
    assert guest_ready.guest.restarts == ["virtio drivers"]
    known = guest_ready.remembered()["drivers"]
    assert known["media"] == INSTALLED["label"]
    assert known["versions"]["viostor"] == "100.93.104.24000"


def test_no_restart_where_none_is_asked_for(guest_ready: World) -> None:
    guest_ready.guest.returns("Install-VirtioDrivers", {**INSTALLED, "reboot_needed": False})
    step().run(guest_ready.context)
    assert guest_ready.guest.restarts == []


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({}, {"media": "virtio-win", "skip": []}),
        ({"label": "VIRTIO", "folder": "w7"}, {"media": "VIRTIO", "skip": [], "os": "w7"}),
        (
            {"drivers": ["viostor"], "skip": ["balloon"]},
            {"media": "virtio-win", "skip": ["balloon"], "drivers": ["viostor"]},
        ),
    ],
)
def test_what_the_recipe_says_arrives(guest_ready: World, values: dict[str, object], sent: dict[str, object]) -> None:
    step(**values).run(guest_ready.context)
    assert guest_ready.guest.parameters_of("Install-VirtioDrivers") == [sent]


def test_the_gate_is_asked_for_the_bus_of_the_image(guest_ready: World) -> None:
    content = header().model_dump()
    content["image"]["disk_bus"] = "scsi"
    guest_ready.context.header = Header.model_validate(content)
    step().run(guest_ready.context)
    assert guest_ready.guest.parameters_of("Get-DriverState") == [{"bus": "scsi"}]


def test_refused_drivers_end_it_with_windows_words(guest_ready: World) -> None:
    refused = answer("Install-VirtioDrivers", "an exit code of pnputil")
    guest_ready.guest.returns("Install-VirtioDrivers", refused)
    with pytest.raises(StepFailed, match="drivers were refused: viostor") as caught:
        step().run(guest_ready.context)
    assert caught.value.details == ("viostor: the driver store refused it: signature",)
    assert "drivers" not in guest_ready.facts


def test_drivers_that_the_cd_does_not_have_are_refused_ones(guest_ready: World) -> None:
    guest_ready.guest.returns("Install-VirtioDrivers", answer("Install-VirtioDrivers", "chosen drivers"))
    with pytest.raises(StepFailed) as caught:
        step().run(guest_ready.context)
    assert any("the CD has no folder of it" in line for line in caught.value.details)


@pytest.mark.parametrize("test", ["every reason for 0x7B", "network only staged"])
def test_a_closed_gate_ends_it_with_its_reasons(guest_ready: World, test: str) -> None:
    state = answer("Get-DriverState", test)
    guest_ready.guest.returns("Get-DriverState", state)
    with pytest.raises(StepFailed, match="would not boot on virtio") as caught:
        step().run(guest_ready.context)
    assert caught.value.details == (*state["reasons"], *state["warnings"])
    assert "drivers" not in guest_ready.facts


def test_a_second_run_attaches_to_the_first_installation(guest_ready: World) -> None:
    guest_ready.guest.faults.lose_answer("restart")
    with pytest.raises(SessionLost):
        step().run(guest_ready.context)
    step().run(guest_ready.context)
    assert len(guest_ready.guest.parameters_of("Install-VirtioDrivers")) == 1
    assert "drivers" in guest_ready.facts


def test_the_cd_must_be_attached_and_the_extra_disk_be_of_the_images_bus() -> None:
    assert step().media() == {"drivers-cd"}
    assert step().check(header()) == ()
    content = header().model_dump()
    content["image"]["disk_bus"] = "scsi"
    (problem,) = step().check(Header.model_validate(content))
    assert problem.startswith("builder.extra_disk_bus is virtio, image.disk_bus scsi")
