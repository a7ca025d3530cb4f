"""A guest behind a bad link: whatever happens to a request, a call ends right or with a clear error, in time, and no job runs twice."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from imagebuild.adapters.winrm_guest import WinRmGuest, connect_guest
from imagebuild.errors import DeadlinePassed, GuestError
from imagebuild.guest import Guest
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline
from tests.contract.benches import PASSWORD, lab_machine, standin
from tests.faults.guest_link import GuestLink, Spoil

CALL_SECONDS = 60
FILE = r"C:\imagebuild\link\text.txt"
TEXT = bytes(range(256)) * 1024  # several Sends
_CUTS = (Spoil.UNHEARD, Spoil.LOST, Spoil.HALF)  # at every place; the others are the same everywhere
_jobs = count(1)


@dataclass
class Bench:
    """A guest twice: over the bad link, and directly, to look what really happened. `places`: which requests are spoiled."""

    far: WinRmGuest
    near: WinRmGuest
    link: GuestLink
    places: tuple[int, ...]
    counts: Counter[str]

    def soon(self, seconds: float = CALL_SECONDS) -> Deadline:
        return Deadline.after(seconds)

    def each(self, faults: tuple[Spoil, ...]) -> Iterator[tuple[Spoil, int]]:
        """Every fault at every place, each on a session of its own; the count of those that struck is kept."""
        for fault in faults:
            for place in self.places if fault in _CUTS else self.places[:1]:
                self.far.close()
                self.link.spoil(fault, at=place)
                yield fault, place
                self.counts[f"{fault.name.lower()}{'' if self.link.struck else ', after the last request'}"] += 1
                self.link.mend()


@contextmanager
def connected(
    address: str, port: int, *, password: Secret, certificate: str, places: tuple[int, ...]
) -> Iterator[Bench]:
    link = GuestLink(address, port)
    far, near = (
        connect_guest(
            host, user="Administrator", password=password, certificate_sha256=certificate, port=at, settle_seconds=0.5
        )
        for host, at in (("127.0.0.1", link.port), (address, port))
    )
    bench = Bench(far, near, link, places, Counter())
    try:
        near.wait_until_ready(deadline=bench.soon(120))
        near.run("Initialize-Workplace", deadline=bench.soon())
        far.wait_until_ready(deadline=bench.soon())
        yield bench
    finally:
        link.mend()
        far.close()
        near.close()
        link.close()
        print("\nspoiled requests:", ", ".join(f"{number} {what}" for what, number in sorted(bench.counts.items())))


@contextmanager
def standin_behind_link(folder: Path) -> Iterator[Bench]:
    """The stand-in on loopback."""
    with (
        standin(folder) as (port, told),
        connected("127.0.0.1", port, password=PASSWORD, certificate=told, places=(1, 3, 4, 6, 8, 9)) as made,
    ):
        yield made


@contextmanager
def machine_behind_link() -> Iterator[Bench]:
    """A machine of the lab; at fewer places, for it is slower."""
    with (
        lab_machine() as (address, password, told),
        connected(address, 5986, password=password, certificate=told, places=(4, 6, 8)) as made,
    ):
        yield made


@pytest.fixture(scope="module", params=["stand-in", pytest.param("lab", marks=pytest.mark.lab)])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    in_lab = request.param == "lab"
    with machine_behind_link() if in_lab else standin_behind_link(tmp_path_factory.mktemp("standin")) as made:
        yield made


def test_a_look_ends_right_whatever_happens_to_a_request(bench: Bench) -> None:
    for fault, place in bench.each((*_CUTS, Spoil.REFUSED, Spoil.DRIP)):
        ready = bench.far.run("Get-Ready", deadline=bench.soon())
        assert ready["version"].startswith("6.1"), (fault, place)


def test_files_arrive_whole(bench: Bench) -> None:
    for fault, place in bench.each((Spoil.LOST, Spoil.HALF)):
        bench.far.send_files({FILE: TEXT}, deadline=bench.soon())
        assert bench.link.requests, (fault, place)


def test_a_job_runs_once_and_its_value_arrives(bench: Bench) -> None:
    for fault, place in bench.each((Spoil.LOST, Spoil.HALF)):
        job = f"link-{next(_jobs)}"
        value = bench.far.run_as_system("Get-Ready", job=job, deadline=bench.soon())
        record = bench.near.run("Get-SystemJob", {"id": job, "output_from": 0}, deadline=bench.soon())
        assert record["output"].count("@@RESULT") == 1, (fault, place, record)
        assert record["result"]["value"] == value


def test_what_may_not_be_repeated_is_done_or_told(bench: Bench) -> None:
    """Stop-SystemJob of a job that is not there stands for all of them: it fails with its own words, or the loss is told."""
    told: Counter[str] = Counter()
    for _ in bench.each((Spoil.LOST, Spoil.HALF)):
        told[_ending(bench.far, bench.soon())] += 1
    assert told["answered"] + told["told"] == told.total() and told["told"], told


def _ending(guest: Guest, deadline: Deadline) -> str:
    try:
        guest.run("Stop-SystemJob", {"id": "link-none"}, deadline=deadline)
    except GuestError as error:
        assert error.hint and "127.0.0.1" in str(error)
        return "told"
    return "answered"


def test_a_hole_that_swallows_everything_ends_with_the_deadline(bench: Bench) -> None:
    bench.far.close()
    bench.link.spoil(Spoil.HOLE, at=7)
    deadline = bench.soon(3)
    with pytest.raises((GuestError, DeadlinePassed)):
        bench.far.run_as_system("Get-Ready", job="hole", deadline=deadline)
    late = bench.soon(0).at - deadline.at
    bench.link.mend()
    assert late < 15, f"{late:.1f} s after its deadline"
    assert bench.link.struck == 1
    assert bench.far.run("Get-Ready", deadline=bench.soon()), "the next call finds the link good again"
