"""A clone and its domain, as its console tells them: joined at once, never, late, and without trust."""

from __future__ import annotations

import pytest
from model_fakes import Bench
from test_generalize import generalize, prepare

from imagebuild.console_words import Told, read_told

STAMP = {"recipe": "win7-vdi", "build": "b1"}
MEMBER = {"name": "CLONE-2", "domain": "corp.example", "trust": "ok"}


@pytest.fixture
def clone(builder: Bench) -> Bench:
    """A clone's disk, not booted yet; its server notes a domain."""
    prepare(builder)
    assert generalize(builder)["succeeded"]
    builder.clock.run("shutdown")
    builder.become_clone()
    builder.machine.meta_data["meta"]["vdi_domain"] = "corp.example"
    builder.machine.lines.clear()
    return builder


def said(bench: Bench) -> Told:
    return read_told("\n".join(bench.machine.lines))


def members(bench: Bench) -> list[str]:
    """Its lines about whose member it is."""
    return [line.partition("member ")[2] for line in bench.machine.lines if line.startswith("imagebuild: member ")]


def test_a_clone_announces_itself_and_tells_whose_member_it_is(clone: Bench) -> None:
    clone.boot()
    announced, told = members(clone)
    assert announced.endswith(" domain=?")
    assert told == "name=CLONE-2 domain=corp.example trust=ok"
    assert said(clone) == Told(STAMP, MEMBER)
    clone.send_scripts()
    state = clone.value("Test-DomainState")
    assert (state["part_of_domain"], state["domain"]) == (True, "corp.example")
    (look,) = [one for one in clone.job_value("Test-Generalize")["checks"] if one["name"] == "domain"]
    assert (look["ok"], look["words"]) == (False, "the machine is a member of corp.example")


def test_it_tells_it_again_at_every_start(clone: Bench) -> None:
    clone.boot()
    clone.machine.lines.clear()
    clone.boot()
    assert said(clone) == Told(None, MEMBER)


def test_without_a_note_nobody_joins_it(clone: Bench) -> None:
    del clone.machine.meta_data["meta"]["vdi_domain"]
    clone.boot()
    assert said(clone) == Told(STAMP, {"name": "CLONE-2", "domain": "-"})


def test_a_join_that_is_refused(clone: Bench) -> None:
    clone.fault("domain-join-refused")
    clone.boot()
    assert said(clone).member == {"name": "CLONE-2", "domain": "-"}
    assert "0xaac" in clone.guest.files.read_text("C:\\Windows\\debug\\NetSetup.LOG")


def test_a_late_join_brings_a_restart_and_is_told_after_it(clone: Bench) -> None:
    clone.fault("domain-joins-late")
    clone.boot(finish=False)
    clone.clock.run("start-up")
    clone.clock.run("task")
    assert said(clone).member == {"name": "CLONE-2", "domain": "-"}
    clone.clock.run("domain join")
    assert clone.machine.left == "reboot"
    clone.boot()
    assert said(clone) == Told(STAMP, MEMBER)


def test_a_member_that_is_not_trusted(clone: Bench) -> None:
    clone.fault("domain-trust-broken")
    clone.boot()
    assert said(clone).member == MEMBER | {"trust": "broken"}


def test_generalize_takes_it_out_of_its_domain(builder: Bench) -> None:
    prepare(builder)
    builder.machine.meta_data["meta"]["vdi_domain"] = "corp.example"
    builder.guest.domain.join_as_noted()
    assert builder.guest.domain.name == "corp.example"
    assert generalize(builder)["succeeded"]
    assert builder.guest.domain.name is None
