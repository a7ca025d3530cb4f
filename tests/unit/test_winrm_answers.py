"""Command lines, parameters and the two kinds of marked lines."""

import base64
import json

import pytest

from imagebuild.adapters.winrm_answers import (
    ScriptOutput,
    call_script,
    call_source,
    read_value,
    take_value,
    write_parameters,
)
from imagebuild.adapters.winrm_session import Ended
from imagebuild.errors import ScriptBroken, ScriptFailed
from imagebuild.secrets import Secret


def mark(word: str, text: str) -> bytes:
    return f"@@{word} {base64.b64encode(text.encode()).decode()} @@\r\n".encode()


RESULT = mark("RESULT", '{"ok":true,"value":{"a":1}}')
ENDED = Ended(exit_code=0, stderr=b"")


def test_the_command_line_holds_nothing_but_the_scripts_name() -> None:
    line = call_script("Get-Ready")
    assert " ".join([line.program, *line.arguments]) == (
        r"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat None -File C:\imagebuild\scripts\Get-Ready.ps1"
    )
    assert not line.direct


@pytest.mark.parametrize(
    "name", ["Get-Ready.ps1", "Get-Ready & del", "..\\Get-Ready", "get", "Get-Ready\n", "Get-Réady"]
)
def test_what_is_no_name_of_a_script_never_becomes_a_command_line(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a guest script"):
        call_script(name)


def test_a_source_is_sent_encoded_and_without_cmd() -> None:
    line = call_source("# comment\nexit 0\n")
    assert line.direct
    assert base64.b64decode(line.arguments[-1]).decode("utf-16-le") == "# comment\nexit 0\n"


def test_parameters_are_one_ascii_line_of_base64_json() -> None:
    line = write_parameters({"reason": "업데이트", "n": 1, "password": Secret("geheim-1")})
    assert line.endswith(b"\r\n") and line.count(b"\n") == 1
    assert json.loads(base64.b64decode(line)) == {"reason": "업데이트", "n": 1, "password": "geheim-1"}


def test_no_parameters_are_an_empty_object() -> None:
    assert json.loads(base64.b64decode(write_parameters(None))) == {}


def test_what_is_no_json_is_refused_without_being_quoted() -> None:
    with pytest.raises(TypeError, match="bytes is not") as caught:
        write_parameters({"x": b"geheim-2"})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_marked_lines_are_found_however_the_output_is_cut(size: int) -> None:
    told: list[str] = []
    output = ScriptOutput(told.append)
    text = b"noise\r\n" + mark("STEP", "eins 한글") + b" 10% done" + mark("STEP", "zwei") + RESULT
    for begin in range(0, len(text), size):
        output.feed(text[begin : begin + size])
    output.end()
    assert told == ["eins 한글", "zwei"]
    assert read_value("Get-X", output, ENDED) == {"a": 1}
    assert output.tail() == ("noise",)


def test_a_step_is_told_before_the_script_ends() -> None:
    told: list[str] = []
    ScriptOutput(told.append).feed(mark("STEP", "now"))
    assert told == ["now"]


def test_a_last_line_without_an_end_counts() -> None:
    output = ScriptOutput()
    output.feed(RESULT.rstrip())
    assert output.result is None
    output.end()
    assert output.result is not None


def test_a_step_hides_secrets() -> None:
    told: list[str] = []
    ScriptOutput(told.append).feed(mark("STEP", f"using {Secret('geheim-333').reveal()}"))
    assert told == ["using ***"]


@pytest.mark.parametrize(
    "line", [b"@@RESULT ! @@\n", b"@@RESULT YQ== @@\n", b"@@RESULT YQ @@\n", b"@@RESULT @@\n", b"@@STEP /w== @@\n"]
)
def test_a_broken_mark_is_plain_output(line: bytes) -> None:
    output = ScriptOutput(lambda text: pytest.fail(f"told {text}"))
    output.feed(line)
    assert output.result is None
    assert output.tail() == (line.decode().strip(),)


def test_no_result_is_broken_and_shows_the_end_of_both_streams() -> None:
    output = ScriptOutput()
    output.feed(b"".join(b"line %d\n" % number for number in range(100)))
    with pytest.raises(ScriptBroken, match="Get-X told no result.*0xFFFD0000") as caught:
        read_value("Get-X", output, Ended(0xFFFD0000, b"File not found\r\n"))
    assert caught.value.details[-2:] == ("line 99", "File not found")
    assert len(caught.value.details) <= 41


def test_a_failed_script_tells_why_where_and_its_code() -> None:
    error = {
        "message": "denied",
        "type": "System.UnauthorizedAccessException",
        "where": "x.ps1:7",
        "hresult": "0x80070005",
    }
    with pytest.raises(ScriptFailed, match="Install-Updates failed: denied") as caught:
        take_value("Install-Updates", {"ok": False, "error": error}, details=("tail",))
    assert (caught.value.script, caught.value.hresult) == ("Install-Updates", "0x80070005")
    assert caught.value.details == ("System.UnauthorizedAccessException at x.ps1:7", "tail")
    assert "SYSTEM" in caught.value.hint


def test_a_failure_hides_secrets_in_its_words() -> None:
    words = f"cannot log on with {Secret('geheim-4444').reveal()}"
    with pytest.raises(ScriptFailed) as caught:
        take_value("Set-X", {"ok": False, "error": {"message": words}})
    assert "geheim" not in str(caught.value)


def test_a_value_that_is_no_object_is_an_empty_one() -> None:
    assert take_value("Get-X", {"ok": True, "value": None}) == {}
