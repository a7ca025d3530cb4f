"""The plays as a whole: every script has one, with the parameters that the script itself reads, and what is unknown fails aloud."""

from __future__ import annotations

import base64
import json
import re

import pytest
from model_fakes import POWERSHELL, Bench

from imagebuild.lab.guest.standin.scripts import PLACES, find_script
from imagebuild.windows import read_script, script_names

# read by other names than a literal beside the call
SELECTION = {
    "include_kb", "exclude_kb", "include_title_regex", "exclude_title_regex", "drivers", "previews", "optional", "definitions", "upgrades",
}  # fmt: skip
READ_OTHERWISE = {
    "Find-Updates": SELECTION,
    "Install-Updates": SELECTION,
    "Set-UpdateSource": {"server", "status_server"},
    "Invoke-SystemJob": {"boot"},  # stands in job.json for others
}
# literal names that belong to dictionaries inside a parameter, or to another script's
NESTED = {
    "path",
    "name",
    "value",
    "kind",
    "equals",
    "minimum_version",
    "text",
    "exit_code",
    "timed_out",
    "error",
    "stopped",
    "elapsed_seconds",
}
READ = re.compile(r"Get-(?:Required|List)?Parameter \$(?:p|P|parameters|Parameters|traces) '(\w+)'")
LOADED = re.compile(r"(?m)^\. \(Join-Path .*'([a-z-]+)\.ps1'\)")


def parameters_read(script: str) -> set[str]:
    text = read_script(script).decode("ascii")
    texts = [
        text,
        *(
            read_script(library).decode("ascii")
            for library in LOADED.findall(text)
            if library not in ("prelude", "traces")
        ),
    ]
    return {name for one in texts for name in READ.findall(one)}


@pytest.mark.parametrize("name", script_names())
def test_a_play_knows_the_parameters_of_its_script(name: str) -> None:
    script = find_script(name)
    assert script is not None
    traces = name in ("Clear-Traces", "Get-Traces")
    libraries = set(READ.findall(read_script("traces").decode("ascii"))) if traces else set()
    read = parameters_read(name) | READ_OTHERWISE.get(name, set()) | libraries
    assert read - script.parameters <= NESTED | {"keep"}, "the script reads more"
    assert script.parameters - read <= (NESTED & script.parameters), "the play takes more"


def test_no_play_is_of_a_script_that_does_not_exist() -> None:
    assert set(PLACES) == set(script_names())


def test_an_unknown_parameter_is_refused_before_anything_is_done(builder: Bench) -> None:
    line = f"{POWERSHELL} -File C:\\imagebuild\\scripts\\Restart-Guest.ps1"
    given = base64.b64encode(json.dumps({"reason": "x", "when": "now"}).encode())
    code, out, error = builder.run(line, given)
    assert (code, out) == (1, "")
    assert "does not know the parameter when" in error
    assert builder.machine.lines[-1].startswith("stand-in: Restart-Guest does not know the parameter when")
    assert builder.clock.queue == []


def test_a_script_that_was_not_sent_does_not_run(bench: Bench) -> None:
    bench.boot()
    code, out, error = bench.run(f"{POWERSHELL} -File C:\\imagebuild\\scripts\\Get-Ready.ps1")
    assert (code, out) == (-196608, "")
    assert "does not exist" in error


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("Get-Ready.ps1", b"", "is empty"),
        ("Get-Nothing.ps1", b"# something", "no play for the script Get-Nothing"),
        ("Get-Ready.ps1", b". (Join-Path $here 'other.ps1')\n", "loads other.ps1, which was not sent"),
    ],
)
def test_a_script_that_cannot_be_played_fails_aloud(builder: Bench, path: str, content: bytes, words: str) -> None:
    builder.guest.files.write(f"C:\\imagebuild\\scripts\\{path}", content)
    code, out, error = builder.run(f"{POWERSHELL} -File C:\\imagebuild\\scripts\\{path}")
    assert (code, out) == (1, "")
    assert words in error
    assert words in builder.machine.lines[-1]


@pytest.mark.parametrize("stdin", [b"not base64!", base64.b64encode(b"[1]"), base64.b64encode(b"{")])
def test_parameters_that_cannot_be_read_fail_aloud(builder: Bench, stdin: bytes) -> None:
    code, out, error = builder.run(f"{POWERSHELL} -File C:\\imagebuild\\scripts\\Get-Ready.ps1", stdin)
    assert (code, out) == (1, "")
    assert "stand-in: the parameters" in error


def test_parameters_may_come_from_a_file(builder: Bench) -> None:
    builder.guest.files.write_text("C:\\p.json", '{"bus": "nothing"}')
    code, out, _ = builder.run(
        f"{POWERSHELL} -File C:\\imagebuild\\scripts\\Get-DriverState.ps1 -ParametersFile C:\\p.json"
    )
    assert code == 0
    answer = json.loads(base64.b64decode(out.split()[1]))
    assert answer["ok"] is False and "parameter 'bus' is 'nothing'" in answer["error"]["message"]
