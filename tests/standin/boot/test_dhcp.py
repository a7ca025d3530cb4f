"""The DHCP client's dealings with udhcpc: a small program that speaks as udhcpc and its script do plays it."""

import sys
from pathlib import Path

import pytest

from imagebuild.lab.guest.standin import dhcp
from imagebuild.lab.guest.standin.dhcp import DhcpClient

FAKE = """#!{python}
import signal, sys
def log(text):
    with open({log!r}, "a") as file:
        print(text, file=file)
log(" ".join(sys.argv[1:]))
if sys.argv[1] == "udhcpc":
    awaited = {{signal.SIGUSR2, signal.SIGTERM}}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    for line in {answer!r}:
        print(line, flush=True)
    while signal.sigwait(awaited) == signal.SIGUSR2:
        log("RELEASE")
        print("deconfig / ", flush=True)
"""
BOUND = "bound 172.16.100.7/24 172.16.100.1"


def make_busybox(folder: Path, monkeypatch: pytest.MonkeyPatch, *, answer: tuple[str, ...]) -> Path:
    """A busybox that answers so; gives the file with what it was asked."""
    log = folder / "log"
    busybox = folder / "busybox"
    busybox.write_text(FAKE.format(python=sys.executable, log=str(log), answer=("deconfig / ", *answer)))
    busybox.chmod(0o755)
    monkeypatch.setattr(dhcp, "BUSYBOX", str(busybox))
    return log


@pytest.fixture(params=[(BOUND,), ("leasefail / ", BOUND)])
def asked(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody answers, at once or later."""
    return make_busybox(tmp_path, monkeypatch, answer=request.param)


def test_the_address_that_is_given_is_ours_until_it_is_released(asked: Path) -> None:
    client = DhcpClient("eth0")
    assert client.ask() == client.address() == "172.16.100.7"
    client.release()
    assert client.address() is None
    assert asked.read_text().splitlines()[1:] == ["RELEASE", "ip addr flush dev eth0"]


def test_asking_again_ends_the_client_before(asked: Path) -> None:
    client = DhcpClient("eth0")
    client.ask()
    assert client.ask() == "172.16.100.7"
    client.release()
    assert asked.read_text().count("RELEASE") == 1


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_busybox(tmp_path, monkeypatch, answer=("leasefail / ",))
    monkeypatch.setattr(dhcp, "ANSWER_SECONDS", 0.3)
    client = DhcpClient("eth0")
    assert client.ask() is None
    assert client.address() is None
    client.release()


def test_an_address_that_is_believed_in_is_configured_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_busybox(tmp_path, monkeypatch, answer=())
    client = DhcpClient("eth0")
    assert client.assume("172.16.100.99") == client.address() == "172.16.100.99"
    client.release()
    assert log.read_text().splitlines() == ["ip addr add 172.16.100.99/24 dev eth0", "ip addr flush dev eth0"]
