"""The supervisor's plan: what runs, in which order it stops, and what is no business of a plan."""

import json
from pathlib import Path

from imagebuild.lab import service_plan, supervision
from imagebuild.lab.layout import Layout

PLACE = Layout(Path("/lab"))


def test_every_need_and_every_stop_is_a_service() -> None:
    plan = service_plan.make_plan(PLACE, fake_hosts=0)
    names = [service["name"] for service in plan["services"]]
    assert len(set(names)) == len(names)
    assert {need for service in plan["services"] for need in service["needs"]} <= set(names)
    assert sorted(name for phase in plan["stop_phases"] for name in phase["services"]) == sorted(names)


def test_guests_are_ended_while_libvirtd_still_runs() -> None:
    first, last = service_plan.make_plan(PLACE, fake_hosts=0)["stop_phases"]
    assert first["errand"]["name"] == "guests"
    assert last["services"] == ["libvirtd"]


def test_fake_hosts_change_nova_and_nothing_else() -> None:
    without, with_them = (service_plan.make_plan(PLACE, fake_hosts=count)["services"] for count in (0, 8))
    changed = [a["name"] for a, b in zip(without, with_them, strict=True) if a != b]
    assert changed == ["nova"]


def test_a_plan_is_written_only_when_it_is_new(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.run.mkdir()
    assert supervision.read_fake_hosts(place) == 0
    assert supervision.write_plan(place, fake_hosts=3)
    assert not supervision.write_plan(place, fake_hosts=3)
    assert supervision.read_fake_hosts(place) == 3
    assert supervision.write_plan(place, fake_hosts=0)


def test_the_word_of_a_dead_supervisor_does_not_count(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.run.mkdir()
    said = {"pid": 2**22 + 1, "since_monotonic": 0.0, "digest": "d", "plan": "p", "stopping": False, "services": {}}
    (place.run / "services.json").write_text(json.dumps(said), encoding="utf-8")
    assert supervision.read_running(place) is None
    (place.run / "services.json").write_text("{half a", encoding="utf-8")
    assert supervision.read_running(place) is None


def test_ready_means_all_but_the_console() -> None:
    ready, starting = {"state": "ready"}, {"state": "starting"}

    def running(services: dict[str, dict[str, str]], *, stopping: bool = False) -> bool:
        return supervision.Running(1, 0.0, "d", "p", stopping, services).is_ready()

    assert running({"nova": ready, "console": starting})
    assert not running({"nova": starting, "console": ready})
    assert not running({"nova": ready}, stopping=True)
