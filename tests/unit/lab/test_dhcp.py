"""dnsmasq of a network: what it is told, and when it is started anew."""

import importlib.util
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from imagebuild.lab.layout import SERVICES


def load() -> ModuleType:
    """The module as the services import it; it needs nothing of their environment."""
    spec = importlib.util.spec_from_file_location("labservices_dhcp", SERVICES / "labservices" / "dhcp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


dhcp = load()
SUBNET = dhcp.Subnet("172.16.100.0/24", "172.16.100.1", ("9.9.9.9",))
FIRST, SECOND = dhcp.Host("fa:16:3e:00:00:01", "172.16.100.10"), dhcp.Host("fa:16:3e:00:00:02", "172.16.100.11")


class Recorded(dhcp.Dhcp):  # type: ignore[name-defined, misc]
    """A Dhcp whose dnsmasq is a list of what would have happened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "net", "iblnet")
        self.log: list[str] = []
        self.living: int | None = None

    def pid(self) -> int | None:
        return self.living

    def stop(self) -> None:
        if self.living:
            self.log.append("stop")
        self.living, self._served = None, None


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    one = Recorded(tmp_path)

    def start(command: list[str], **_: Any) -> None:
        one.log.append("start")
        one.living = 4711

    monkeypatch.setattr(dhcp, "subprocess", SimpleNamespace(run=start))
    monkeypatch.setattr(
        dhcp, "os", SimpleNamespace(kill=lambda pid, number: one.log.append(signal.Signals(number).name))
    )
    return one


def test_a_new_port_is_read_in_and_one_that_went_away_takes_its_lease_with_it(served: Recorded) -> None:
    served.serve((SUBNET,), frozenset({FIRST}))
    served.serve((SUBNET,), frozenset({FIRST}))
    served.serve((SUBNET,), frozenset({FIRST, SECOND}))
    assert served.log == ["start", "SIGHUP"]
    assert served.hosts_file.read_text(encoding="ascii").splitlines() == [
        "fa:16:3e:00:00:01,172.16.100.10,host-172-16-100-10",
        "fa:16:3e:00:00:02,172.16.100.11,host-172-16-100-11",
    ]
    served.serve((SUBNET,), frozenset({SECOND}))
    assert served.log == ["start", "SIGHUP", "stop", "start"]


def test_a_killed_dnsmasq_is_started_again(served: Recorded) -> None:
    served.serve((SUBNET,), frozenset({FIRST}))
    served.living = None
    served.serve((SUBNET,), frozenset({FIRST}))
    assert served.log == ["start", "start"]


def test_without_a_subnet_there_is_no_dhcp(served: Recorded) -> None:
    served.serve((SUBNET,), frozenset({FIRST}))
    served.serve((), frozenset())
    assert served.log == ["start", "stop"]


def test_it_answers_known_ports_of_its_bridge_only_and_serves_no_names(tmp_path: Path) -> None:
    command = dhcp.Dhcp(tmp_path, "net", "iblnet")._command((SUBNET,))
    assert "--interface=iblnet" in command
    assert "--bind-interfaces" in command
    assert "--port=0" in command
    assert "--dhcp-range=set:net0,172.16.100.0,static,255.255.255.0,3600" in command
    assert "--dhcp-option=tag:net0,option:router,172.16.100.1" in command
    assert "--dhcp-option=tag:net0,option:dns-server,9.9.9.9" in command


def test_a_stranger_with_the_same_pid_is_not_taken_for_it(tmp_path: Path) -> None:
    one = dhcp.Dhcp(tmp_path, "net", "iblnet")
    one.pid_file.write_text("1", encoding="ascii")
    assert one.pid() is None
