"""How a roll grows with its pool: `python -m tests.benchmarks.pool_scale --sizes 1000 10000` rolls pools on the fakes by a simulated clock.

Each size has a process of its own, so that its memory is its own. Told are requests to the cloud for each desktop, the simulated
duration against the ideal schedule of the same rules and times, memory (of the roll AND of the fake cloud and broker beside it), and CPU
(of the roll; that of the fakes is in brackets). `--busy 0.25` puts users on a quarter of the desktops, who come and go all the time: then
the duration is theirs, and what counts is that none was cut off. The rules are the default ones, but `parallel_boots` is as large as
`max_unavailable` (10 %).
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.pool_model import Outcome, a_model

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 1800
CALLS, SHARE, MEGABYTES, GROWTH = 6.0, 0.9, 200.0, 2.0
"""The goals: calls for each desktop beyond the act, of the ideal schedule, peak at any size, CPU for each desktop against the smallest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 10000])
    parser.add_argument("--busy", type=float, default=0.0)
    parser.add_argument("--method", choices=("rebuild", "replace"), default="rebuild")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.only:
        print(json.dumps(measure(given.only, busy=given.busy, method=given.method)))
        return 0
    print(f"{given.method}, {given.busy:.0%} of the desktops in use")
    print(
        "desktops  duration    ideal  share  calls each  beyond the act  asked broker    MB (before)   CPU s (fakes)  cut  refused"
    )
    rows = []
    for size in given.sizes:
        rows.append(run_apart(size, busy=given.busy, method=given.method))
        print(line(*rows[-1]), flush=True)
    missed = [words for row in rows for words in judge(*row, first=rows[0][0], timed=not given.busy)]
    print("\n".join(missed) or "all goals are met")
    return 1 if missed else 0


def measure(size: int, *, busy: float, method: str) -> dict[str, Any]:
    """One roll in this process."""
    model = a_model(size, busy=busy, method=method)
    before = peak_megabytes()
    outcome = model.run()
    return {"outcome": asdict(outcome), "before": before, "peak": peak_megabytes()}


def run_apart(size: int, *, busy: float, method: str) -> tuple[Outcome, float, float]:
    """The same in a process of its own: outcome, its megabytes before the roll and at most."""
    command = [sys.executable, "-m", "tests.benchmarks.pool_scale", "--only", str(size)]
    command += ["--busy", str(busy), "--method", method]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=SECONDS)
    told = json.loads(done.stdout)
    return Outcome(**told["outcome"]), told["before"], told["peak"]


def line(outcome: Outcome, before: float, peak: float) -> str:
    """A row of the table."""
    schedule = f"{hours(outcome.seconds):>8s} {hours(outcome.ideal):>8s}  {outcome.of_ideal:5.1%}"
    calls = f"{outcome.calls_each:10.2f}  {outcome.calls_beyond:14.2f}  {sum(outcome.questions.values()):12d}"
    machine = f"{peak:6.0f} ({before:3.0f})  {outcome.cpu_seconds:7.1f} ({outcome.fakes_seconds:5.1f})"
    return f"{outcome.desktops:8d}  {schedule}  {calls}  {machine}  {outcome.cut:3d}  {outcome.refused:7d}"


def judge(outcome: Outcome, before: float, peak: float, *, first: Outcome, timed: bool) -> list[str]:
    """The goals that it misses, in words. Where users are waited for, the duration and what it costs to wait are theirs."""
    size = outcome.desktops
    growth = outcome.cpu_seconds / size / (first.cpu_seconds / first.desktops)
    goals = [
        (outcome.done == size, f"{size}: {outcome.ending}, {outcome.done} done"),
        (outcome.cut == 0, f"{size}: {outcome.cut} users were cut off"),
        (peak <= MEGABYTES, f"{size}: {peak:.0f} MB, {MEGABYTES:.0f} are the goal"),
    ]
    if timed:
        goals += [
            (
                outcome.calls_beyond <= CALLS,
                f"{size}: {outcome.calls_beyond:.1f} calls beyond the act, at most {CALLS}",
            ),
            (outcome.of_ideal >= SHARE, f"{size}: {outcome.of_ideal:.1%} of the ideal schedule, at least {SHARE:.0%}"),
            (growth <= GROWTH, f"{size}: {growth:.1f} times the CPU of {first.desktops} for each desktop"),
        ]
    return [words for met, words in goals if not met]


def hours(seconds: float) -> str:
    """h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def peak_megabytes() -> float:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
