"""Jobs as SYSTEM: once, attached, stopped, timed out, interrupted by a reboot; restarts; files that are received."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any

import pytest
from model_fakes import Bench, read_result

RUNS = "C:\\imagebuild\\runs"


def start(bench: Bench, job_id: str = "a", **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = bench.value("Start-SystemJob", **({"id": job_id, "script": "Get-PendingReboot"} | more))
    return answer


def state(bench: Bench, job_id: str = "a", **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = bench.value("Get-SystemJob", id=job_id, **more)
    return answer


def test_from_start_to_result(builder: Bench) -> None:
    assert start(builder) == {
        "id": "a", "task": "imagebuild-a", "folder": RUNS + "\\a", "started": True, "attached": False, "same_request": True,
    }  # fmt: skip
    assert state(builder)["state"] == "running"
    builder.clock.run()
    found = state(builder)
    assert (found["state"], found["exit_code"]) == ("finished", 0)
    assert found["result"]["value"]["not_asked"] == [], "SYSTEM may ask the update agent"
    assert found["output"].count("@@RESULT") == 1


def test_the_same_id_never_runs_twice(builder: Bench) -> None:
    start(builder)
    builder.clock.run()
    again = start(builder)
    assert (again["started"], again["attached"], again["same_request"]) == (False, True, True)
    other = start(builder, parameters={"x": 1})
    assert (other["attached"], other["same_request"]) == (True, False)
    assert builder.clock.queue == []


def test_a_start_that_was_cut_off_is_made_good(builder: Bench) -> None:
    start(builder)
    builder.clock.queue.clear()
    builder.boot()
    assert state(builder)["state"] == "interrupted_by_reboot"
    assert start(builder)["started"], "nothing had begun"
    builder.clock.run()
    assert state(builder)["state"] == "finished"


def test_a_reboot_in_the_middle_is_told(builder: Bench) -> None:
    start(builder)
    builder.guest.files.write_text(RUNS + "\\a\\claim.txt", "1")
    builder.boot()
    found = state(builder)
    assert (found["state"], found["elapsed_seconds"], found["result"]) == ("interrupted_by_reboot", None, None)
    assert start(builder)["attached"]


def test_stopping_kills_the_tree_and_removes_the_folder(builder: Bench) -> None:
    start(builder)
    stopped = builder.value("Stop-SystemJob", id="a", remove=True)
    assert [one["name"] for one in stopped["killed"]] == ["powershell.exe", "cmd.exe", "powershell.exe"]
    assert (stopped["was"], stopped["task_deleted"], stopped["folder_removed"]) == ("not_ended", True, True)
    builder.clock.run()
    assert not builder.guest.files.exists(RUNS + "\\a"), "what was killed writes nothing any more"
    assert state(builder)["state"] == "unknown"
    assert builder.value("Stop-SystemJob", id="a")["was"] == "unknown"


def test_a_stopped_job_says_so(builder: Bench) -> None:
    start(builder)
    builder.value("Stop-SystemJob", id="a")
    builder.clock.run()
    assert state(builder)["state"] == "stopped"


def test_a_script_that_the_stand_in_does_not_know_fails_in_a_job_too(builder: Bench) -> None:
    builder.guest.files.write_text("C:\\imagebuild\\scripts\\Test-Payload.ps1", "# a payload")
    start(builder, script="Test-Payload")
    builder.clock.run()
    found = state(builder)
    assert (found["state"], found["exit_code"], found["result"]) == ("finished", 1, None)
    assert "no play for the script Test-Payload" in found["output"]


@pytest.mark.parametrize("job_id", ["..\\x", "", "a b", "-a", "x" * 65])
def test_ids_that_would_escape_are_refused(builder: Bench, job_id: str) -> None:
    answer = builder.script("Start-SystemJob", id=job_id, script="Get-Ready")
    assert answer["ok"] is False
    assert builder.guest.files.children(RUNS) == []


def test_output_is_read_on_from_where_it_was(builder: Bench) -> None:
    start(builder, script="Find-Updates")
    builder.clock.run()
    whole = state(builder)
    first = state(builder, most_bytes=60)
    assert first["output_next"] < first["output_bytes"]
    rest = state(builder, output_from=first["output_next"])
    assert first["output"] + rest["output"] == whole["output"]
    assert rest["output_next"] == whole["output_bytes"]


def test_detached_leaves_no_output_and_no_result(builder: Bench) -> None:
    start(builder, detached=True)
    builder.clock.run()
    assert builder.guest.files.children(RUNS + "\\a") == ["job.json", "parameters.json"]


def test_a_restart_is_proven_by_three_marks(builder: Bench) -> None:
    armed = builder.value("Restart-Guest", reason="updates", delay_seconds=0)
    assert (armed["armed"], armed["code"], armed["delay_seconds"], armed["logon_mark_removed"]) == (True, 0, 2, True)
    assert builder.value("Restart-Guest", reason="again")["already"] is True
    builder.clock.run()
    assert builder.machine.left == "reboot"
    builder.boot()
    after = builder.guest.power.mark()
    assert after.event_index > armed["before"]["event_index"]
    assert after.boot_time > armed["before"]["boot_time"]
    assert after.uptime_seconds < armed["before"]["uptime_seconds"] + 10


def test_ready_when_at_rest(builder: Bench) -> None:
    ready = builder.value("Get-Ready")
    assert (ready["busy"], ready["logon_screen_shown"], ready["version"]) == ([], True, "6.1.7601")


def test_received_files_exist_and_are_hashed(bench: Bench) -> None:
    bench.boot()
    files = {
        "C:\\imagebuild\\a.txt": b"one",
        "C:\\imagebuild\\deep\\er\\b.bin": bytes(range(256)) * 100,
        "C:\\imagebuild\\empty": b"",
    }
    answer = bench.send(files)
    assert answer["value"]["files"] == [
        {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in files.items()
    ]
    assert {path: bench.guest.files.read(path) for path in files} == files
    assert bench.value_of_workplace() is True


def receive(bench: Bench, listed: list[dict[str, object]], packed: bytes) -> dict[str, Any]:
    head = base64.b64encode(json.dumps({"files": listed}).encode())
    script = base64.b64encode("# imagebuild script: Receive-Files\n".encode("utf-16-le")).decode()
    return read_result(
        bench.run(f"powershell.exe -EncodedCommand {script}", head + b"\n" + base64.b64encode(packed) + b"\n")[1]
    )


@pytest.mark.parametrize(
    ("change", "packed", "words"),
    [
        ({"sha256": "0" * 64}, gzip.compress(b"abc", mtime=0), "instead of"),
        ({"size": 5}, gzip.compress(b"abc", mtime=0), "ends 2 bytes before the end"),
        ({}, gzip.compress(b"abcdef", mtime=0), "more than the files"),
        ({}, b"no gzip", "damaged"),
        ({"path": "C:\\a\\..\\b"}, gzip.compress(b"abc", mtime=0), "is refused"),
        ({"path": "\\\\server\\share\\x"}, gzip.compress(b"abc", mtime=0), "is refused"),
    ],
)
def test_what_does_not_arrive_whole_is_not_kept(
    builder: Bench, change: dict[str, object], packed: bytes, words: str
) -> None:
    entry = {"path": "C:\\imagebuild\\x.bin", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()} | change
    if words == "more than the files":
        entry["sha256"] = hashlib.sha256(b"abc").hexdigest()
    answer = receive(builder, [entry], packed)
    assert answer["ok"] is False and words in answer["error"]["message"]
    assert words == "more than the files" or not builder.guest.files.exists("C:\\imagebuild\\x.bin")
