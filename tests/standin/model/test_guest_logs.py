"""Get-GuestLogs in the stand-in: what a failed build is told of this Windows."""

from __future__ import annotations

from typing import Any

from model_fakes import Bench

from imagebuild.lab.guest.standin.model.sysprep import LOGS


def logs(bench: Bench, **parameters: Any) -> dict[str, Any]:
    told = bench.value("Get-GuestLogs", **parameters)
    assert told["unreadable"] == []
    return {log["name"]: log for log in told["logs"]}


def test_what_is_there_is_told_with_its_last_lines(builder: Bench) -> None:
    builder.guest.files.append(LOGS[1], b"one\r\ntwo\r\nthree\r\n")
    found = logs(builder, lines=2)
    assert found["sysprep-errors"] == {
        "name": "sysprep-errors", "path": LOGS[1], "bytes": 17, "lines": ["two", "three"],
    }  # fmt: skip
    assert "cloudbase-init" in found and "servicing" not in found


def test_of_a_long_log_only_whole_lines_at_the_end(builder: Bench) -> None:
    builder.guest.files.append(LOGS[0], b"".join(b"line %03d\r\n" % number for number in range(200)))
    (log,) = [log for name, log in logs(builder, most_bytes=50).items() if name == "sysprep"]
    assert log["lines"] == [f"line {number}" for number in range(196, 200)] and log["bytes"] == 2000


def test_a_log_in_utf_16_is_read_wherever_it_is_cut(builder: Bench) -> None:
    text = "\ufeff" + "".join(f"기록 {number}\r\n" for number in range(100))
    builder.guest.files.write("C:\\Windows\\SoftwareDistribution\\ReportingEvents.log", text.encode("utf-16-le"))
    for most in (61, 62, 100_000):
        assert logs(builder, most_bytes=most)["update-events"]["lines"][-2:] == ["기록 98", "기록 99"]
    assert logs(builder, most_bytes=100_000)["update-events"]["lines"][0] == "기록 0"


def test_the_last_three_jobs_oldest_first(builder: Bench) -> None:
    for name in ("b", "a", "d", "c"):
        builder.value("Start-SystemJob", id=name, script="Get-PendingReboot")
        builder.clock.run()
    assert [name for name in logs(builder) if name.startswith("job-")] == ["job-a", "job-d", "job-c"]
