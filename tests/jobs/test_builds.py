"""The list of builds, one build, and claims by hand: what a person sees when something was left behind."""

import io
import json
from typing import Any

import pytest

from imagebuild.claim import claims
from imagebuild.errors import CloudUnreachable, RecipeError, StepFailed
from imagebuild.jobs import builds
from imagebuild.journal import Journal
from imagebuild.report import ConsoleReport, JsonReport
from tests.jobs.conftest import RECIPE, Killed, Site
from tests.jobs.test_resume import claim_elsewhere, killed_in


def told(site: Site, **more: Any) -> list[str]:
    """invoke builds."""
    out = io.StringIO()
    builds.list_builds(site.settings, ConsoleReport(out), **more)
    return out.getvalue().splitlines()


def test_no_builds_yet(site: Site) -> None:
    assert told(site) == ["no builds yet; to make one: invoke build RECIPE"]


def test_each_state_in_a_line_and_what_to_do_last(site: Site) -> None:
    site.build()
    built = site.folder().id
    site.recipe("kept")
    site.fail_in("Set-Desktop", RuntimeError("a defect"))
    with pytest.raises(StepFailed):
        site.build("kept", on_error="keep")
    site.recipe("zapped")
    site.die_in("Install-Updates")
    with pytest.raises(Killed):
        site.build("zapped")
    site.cloud.create_volume("theirs", owner="of-another-machine", role="x", gib=1)
    lines = told(site)
    states = {line.split()[0].split("-2")[0]: line for line in lines[:3]}
    assert states["win7-vdi"].split()[1] == "built"
    assert states["win7-vdi"].endswith("win7-vdi-v1")
    assert built in states["win7-vdi"]
    assert states["kept"].split()[1] == "kept"
    assert states["kept"].endswith("in step desktop: desktop broke: RuntimeError: a defect; 5 things stand")
    assert states["zapped"].split()[1] == "dead"
    assert states["zapped"].endswith("cut off in step updates; 6 things stand")
    assert lines[3].split() == ["of-another-machine", "foreign", "another", "machine's;", "1", "thing", "stands"]
    assert lines[4].startswith("next: invoke builds.resume ")


def test_a_living_build_says_where_it_is(site: Site) -> None:
    killed_in(site, "Install-Updates")
    with Journal(site.folder().journal):
        (line,) = told(site)
    assert " running " in line
    assert "in step updates" in line


def test_old_ones_that_are_over_are_counted_only(site: Site) -> None:
    for number in range(13):
        with Journal(site.settings.builds / f"small-20260101-0000{number:02d}-abcd" / "journal.jsonl") as journal:
            journal.write("build_begun", recipe="small", cloud="fake")
            journal.write("undone", deleted=[])
    lines = told(site)
    assert len(lines) == 11
    assert lines[-1] == "and 3 older ones that are over: invoke builds --all"
    assert len(told(site, every=True)) == 13


def test_a_cloud_that_does_not_answer_keeps_nothing_from_being_listed(site: Site) -> None:
    killed_in(site)
    site.cloud.faults.fail("owned", CloudUnreachable("no answer"))
    lines = told(site)
    assert "what stands in the cloud is not known: no answer" in lines[0]
    assert " dead " in lines[1]


def test_machines_get_the_same_as_facts(site: Site) -> None:
    build = killed_in(site)
    out = io.StringIO()
    builds.list_builds(site.settings, JsonReport(out))
    line, _ = (json.loads(line) for line in out.getvalue().splitlines())
    assert (line["build"], line["state"], len(line["standing"])) == (build, "dead", 6)


def test_one_build_with_its_steps_files_and_what_stands(site: Site) -> None:
    build = killed_in(site)
    builds.show(build[-4:], site.settings, ConsoleReport(site.out))
    said = site.said().split(f"{build}: dead cut off in step desktop\n")[1]
    assert "of win7-vdi in fake, begun 20" in said
    assert "to become win7-vdi-v1, digest " in said
    assert "  updates " in said
    assert said.count("stands: ") == 6
    assert "journal.jsonl, password, plan.json" in said
    assert said.splitlines()[-1] == f"next: invoke builds.resume {build}, or invoke builds.undo {build}"


def test_a_build_that_is_done_shows_its_image(site: Site) -> None:
    site.build()
    builds.show("last", site.settings, ConsoleReport(site.out))
    assert f"{site.folder().id}: built win7-vdi-v1" in site.said()
    assert site.said().splitlines()[-1] == "next: invoke images"
    assert site.undo() == 0
    assert "has left nothing; its image: invoke images" in site.said()
    assert site.record().state == "built"


def test_a_build_that_nobody_knows(site: Site) -> None:
    build = killed_in(site)
    with pytest.raises(RecipeError, match="this machine has no build 'win7x'") as caught:
        site.undo("win7x")
    assert caught.value.hint in (f"did you mean {build}?", "which there are: invoke builds")


def test_undo_takes_everything_back_and_says_so(site: Site) -> None:
    build = killed_in(site)
    assert site.undo(build) == 6
    assert site.things() == []
    assert f"undone: nothing of {build} stands any more (6 things deleted)" in site.said()
    assert not (site.folder().path / "password").exists()
    assert site.undo(build) == 0


def test_a_claim_is_shown_and_broken_only_with_the_clear_word(site: Site) -> None:
    builds.unclaim(RECIPE, site.settings, ConsoleReport(site.out), broken=False)
    assert site.said() == "nobody has claimed win7-vdi\n"
    claim_elsewhere(site, "of-another-machine")
    builds.unclaim(RECIPE, site.settings, ConsoleReport(site.out), broken=False)
    assert "win7-vdi (build) is claimed by of-another-machine" in site.said()
    assert "next: if you know that it is dead, invoke builds.unclaim win7-vdi --break-claim" in site.said()
    assert len(claims(site.cloud)) == 1
    builds.unclaim(RECIPE, site.settings, ConsoleReport(site.out), broken=True)
    assert "broken: win7-vdi (build)" in site.said()
    assert claims(site.cloud) == []
