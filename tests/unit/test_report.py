"""What a run says: lines for people, JSON for machines, silence for tests; no secret in any of them."""

import io
import json
import re

import pytest

from imagebuild.report import ConsoleReport, JsonReport, SilentReport
from imagebuild.secrets import Secret

SECRET = "s3cret-on-the-screen"


def lines(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


def test_a_step_for_people_has_its_title_its_notes_and_its_time() -> None:
    out = io.StringIO()
    report = ConsoleReport(out)
    with report.step("boot", "boot the builder"):
        report.note("server 1")
        report.warn("slow")
    report.say("done", image="x")
    told = lines(out)
    assert re.fullmatch(r" +0:00 boot the builder", told[0])
    assert told[1].strip() == "server 1"
    assert told[2].strip() == "warning: slow"
    assert re.fullmatch(r" +done in \d+\.\d s", told[3])
    assert told[4] == "done"


def test_notes_stand_deeper_than_their_step() -> None:
    out = io.StringIO()
    report = ConsoleReport(out)
    report.note("outside")
    with report.step("a", "outer"), report.step("b", "inner"):
        report.note("within")
    depths = {line.strip(): len(line) - len(line.lstrip()) for line in lines(out)}
    assert depths["within"] - depths["outside"] == 4
    assert re.search(r"0:00   inner", out.getvalue())


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
def test_a_failed_step_says_so_and_lets_the_failure_go_on(ending: type[BaseException]) -> None:
    out = io.StringIO()
    report = ConsoleReport(out)
    with pytest.raises(ending), report.step("boot", "boot"):
        raise ending
    assert re.fullmatch(r" +failed after \d+\.\d s", lines(out)[-1])


def test_every_json_line_parses_and_says_what_it_is() -> None:
    out = io.StringIO()
    report = JsonReport(out)
    with report.step("boot", "boot 한글"):
        report.note('quoted "note"')
        report.warn("careful")
    with pytest.raises(ValueError, match="broken"), report.step("next", "next"):
        raise ValueError("broken")
    report.say("built", image="win7-v1", found=3)
    told = [json.loads(line) for line in lines(out)]
    events = ["step_begun", "note", "warning", "step_done", "step_begun", "step_failed", "result"]
    assert [line["event"] for line in told] == events
    assert all(line["seconds"] >= 0 for line in told)
    assert (told[0]["step"], told[0]["title"]) == ("boot", "boot 한글")
    assert told[1]["text"] == 'quoted "note"'
    assert told[5]["took_seconds"] >= 0
    assert (told[6]["text"], told[6]["image"], told[6]["found"]) == ("built", "win7-v1", 3)


@pytest.mark.parametrize("kind", [ConsoleReport, JsonReport])
def test_no_secret_reaches_the_screen(kind: type[ConsoleReport] | type[JsonReport]) -> None:
    Secret(SECRET)
    out = io.StringIO()
    report = kind(out)
    with report.step("boot", f"title {SECRET}"):
        report.note(f"note {SECRET}")
        report.warn(f"warning {SECRET}")
    report.say(f"say {SECRET}", fact=SECRET)
    assert SECRET not in out.getvalue()
    assert "***" in out.getvalue()


def test_the_silent_report_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = SilentReport()
    with report.step("a", "b"):
        report.note("c")
        report.warn("d")
    report.say("e", f=1)
    assert capsys.readouterr() == ("", "")


def test_a_reader_who_went_away_does_not_end_the_work() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for report in (ConsoleReport(Closed()), JsonReport(Closed())):
        with report.step("a", "b"):
            report.note("c")
        report.say("d")


def test_a_terminal_without_korean_letters_shows_their_numbers() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    ConsoleReport(out).say("업데이트 done")
    assert raw.getvalue() == b"\\uc5c5\\ub370\\uc774\\ud2b8 done\n"
