"""JUnit XML of a run: read back with another parser than the one that wrote it, whatever way the run ended."""

from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from imagebuild.errors import ImagebuildError, Interrupted, RecipeError, StepFailed
from imagebuild.junit import Case, junit_written, write_junit
from imagebuild.report import Report, SilentReport
from imagebuild.secrets import Secret
from tests.steps.conftest import Told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "junit.xml"


def suite(file: Path) -> Element:
    """The one suite in the file."""
    (found,) = fromstring(file.read_text(encoding="utf-8")).findall("testsuite")  # noqa: S314  ours
    return found


def cases(file: Path) -> dict[str, Element]:
    return {case.attrib["name"]: case for case in suite(file).findall("testcase")}


def build(report: Report) -> None:
    """Two steps that go well."""
    with report.step("resolve", "resolve: image, media"):
        report.note("base becomes small-v1")
        report.warn("a stand-in")
    with report.step("boot-builder", "[1/2] boot-builder: server"):
        report.note("server 1")


def test_a_step_is_a_case_with_what_it_said(file: Path) -> None:
    told = Told()
    with junit_written(told, file, suite="build small") as report:
        build(report)
        report.say("built small-v1", image="small-v1")
    assert suite(file).attrib.items() >= {"name": "build small", "tests": "2", "failures": "0", "errors": "0"}.items()
    case = cases(file)["resolve"]
    assert case.attrib["classname"] == "build small"
    assert float(case.attrib["time"]) < 5
    assert case.findtext("system-out") == "resolve: image, media\nbase becomes small-v1\nwarning: a stand-in"
    assert (told.notes, told.warnings) == (["base becomes small-v1", "server 1"], ["a stand-in"])
    assert told.results == [("built small-v1", {"image": "small-v1"})]


def test_the_file_is_whole_after_every_step_so_that_a_kill_loses_nothing(file: Path) -> None:
    with junit_written(SilentReport(), file, suite="build small") as report:
        assert cases(file) == {}
        build(report)
        with report.step("updates", "updates"):
            assert list(cases(file)) == ["resolve", "boot-builder"]
    assert [path.name for path in file.parent.iterdir()] == ["junit.xml"]


def test_a_failed_step_has_its_reason_its_details_and_what_stands_now(file: Path) -> None:
    error = StepFailed("it would not boot", hint="look at the drivers", details=["viostor is missing"])
    with pytest.raises(StepFailed), junit_written(SilentReport(), file, suite="build small") as report:
        build(report)
        try:
            with report.step("virtio-drivers", "[2/2] virtio-drivers"):
                raise error
        except StepFailed:
            error.after = ("nothing of it stands any more", "next: mend it")  # known once the build is undone
            raise
    failure = cases(file)["virtio-drivers"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "it would not boot"
    assert (failure.text or "").splitlines() == [
        "it would not boot",
        "viostor is missing",
        "advice: look at the drivers",
        "nothing of it stands any more",
        "next: mend it",
    ]
    assert suite(file).attrib.items() >= {"tests": "3", "failures": "1"}.items()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("interrupted"), ZeroDivisionError("a defect")])
def test_an_interruption_or_a_defect_is_an_error_and_no_failed_test(file: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), junit_written(SilentReport(), file, suite="build small") as report:
        build(report)
        with report.step("updates", "updates"):
            raise error
    assert cases(file)["updates"].find("failure") is None
    assert cases(file)["updates"].find("error") is not None
    assert suite(file).attrib["errors"] == "1"


def test_a_failure_outside_of_every_step_is_a_case_of_its_own(file: Path) -> None:
    with pytest.raises(RecipeError), junit_written(SilentReport(), file, suite="build small"):
        raise RecipeError("small.yaml has 2 problems", details=["small.yaml:1: x", "small.yaml:2: y"])
    failure = cases(file)["build small"].find("failure")
    assert failure is not None
    assert (failure.text or "").splitlines()[1:] == ["small.yaml:1: x", "small.yaml:2: y"]


def test_a_step_that_was_tried_again_and_went_well_is_well(file: Path) -> None:
    with junit_written(SilentReport(), file, suite="build small") as report:
        with pytest.raises(StepFailed), report.step("updates", "updates"):
            raise StepFailed("no network")
        with report.step("updates", "updates"):
            pass
    assert suite(file).attrib.items() >= {"tests": "1", "failures": "0"}.items()


def test_what_happens_within_a_step_belongs_to_it(file: Path) -> None:
    with junit_written(SilentReport(), file, suite="s") as report, report.step("a", "outer"):
        with report.step("b", "inner"):
            report.note("deep")
        report.note("after")
    assert list(cases(file)) == ["a"]
    assert cases(file)["a"].findtext("system-out") == "outer\ninner\ndeep\nafter"


def test_a_check_is_a_case_of_its_clone(file: Path) -> None:
    with pytest.raises(StepFailed), junit_written(SilentReport(), file, suite="verify small-v1") as report:
        report.say("own SID", check="sid", clone="vfy-1", outcome="passed", took_seconds=1.5)
        report.say("RDP does not answer on 3389", check="rdp", clone="vfy-1", outcome="failed")
        report.say("no registrations configured", check="broker", clone="vfy-1", outcome="not checked")
        raise StepFailed("small-v1 failed 1 of 3 checks")
    assert [case.attrib["classname"] for case in cases(file).values()] == ["vfy-1"] * 3
    assert cases(file)["sid"].attrib["time"] == "1.5"
    failure = cases(file)["rdp"].find("failure")
    assert failure is not None and failure.attrib["message"] == "RDP does not answer on 3389"
    assert cases(file)["broker"].find("skipped") is not None
    assert suite(file).attrib.items() >= {"tests": "3", "failures": "1", "skipped": "1"}.items()


def test_a_file_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(RecipeError, match="cannot be written"),
        junit_written(SilentReport(), tmp_path / "file" / "junit.xml", suite="s"),
    ):
        pytest.fail("the work was begun")


def test_a_disk_that_fills_up_later_hides_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(ImagebuildError, match="the real reason"),
        junit_written(told, file, suite="s") as report,
    ):
        monkeypatch.setattr(Path, "replace", full)
        with report.step("a", "a"):
            raise ImagebuildError("the real reason")
    assert "No space left on device" in told.warnings[-1]


def test_no_secret_and_nothing_that_xml_cannot_hold_gets_in(file: Path) -> None:
    Secret("hidden-in-junit")
    words = "\x1b[31mred\x00 hidden-in-junit 한글 \U0001f600 <&>]]>"
    write_junit(file, "s", [Case("a", failure=words, output=[words])])
    assert cases(file)["a"].findtext("system-out") == "?[31mred? *** 한글 \U0001f600 <&>]]>"
    failure = cases(file)["a"].find("failure")
    assert failure is not None and failure.attrib["message"] == "?[31mred? *** 한글 \U0001f600 <&>]]>"
