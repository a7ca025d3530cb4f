"""One dnsmasq for each network with DHCP: it answers exactly the ports of that network, each with its own address."""

import os
import select
import signal
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

LEASE_SECONDS = 3600
END_SECONDS = 2.0  # a killed dnsmasq is gone in milliseconds


@dataclass(frozen=True)
class Subnet:
    """What dnsmasq must know of a Neutron subnet."""

    cidr: str
    gateway: str
    dns: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """A port: who may ask, and what it gets."""

    mac: str
    address: str


class Dhcp:
    """The dnsmasq of one network. Its files are named by the network, so a new process finds and takes over what an old one left."""

    def __init__(self, folder: Path, network: str, bridge: str) -> None:
        self.folder = folder
        self.bridge = bridge
        self.hosts_file = folder / f"{network}.hosts"
        self.pid_file = folder / f"{network}.pid"
        self.log_file = folder / f"{network}.log"
        self._served: tuple[tuple[Subnet, ...], frozenset[Host]] | None = None

    def serve(self, subnets: tuple[Subnet, ...], hosts: frozenset[Host]) -> None:
        """Make dnsmasq know exactly these hosts.

        A new host is read in by SIGHUP. When one went away dnsmasq starts anew: it would keep the lease of the old MAC for an hour and
        refuse the address to the next port that gets it. Leases are in its memory only, so a new one knows none.
        """
        if not subnets:
            self.stop()
            return
        new = (subnets, hosts)
        pid = self.pid()
        if pid and new == self._served:
            return
        lines = [
            f"{h.mac},{h.address},host-{h.address.replace('.', '-')}\n" for h in sorted(hosts, key=lambda h: h.address)
        ]
        part = self.hosts_file.with_suffix(".new")
        part.write_text("".join(lines), encoding="ascii")
        part.replace(self.hosts_file)
        if pid and self._served and self._served[0] == subnets and self._served[1] <= hosts:
            os.kill(pid, signal.SIGHUP)
        else:
            self.stop()
            subprocess.run(self._command(subnets), check=True, capture_output=True, timeout=20)
        self._served = new

    def stop(self) -> None:
        """End dnsmasq and wait until it is gone: the next one needs its socket."""
        pid = self.pid()
        self._served = None
        if not pid:
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)  # it keeps nothing that an orderly end would save
            select.select([handle], [], [], END_SECONDS)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def pid(self) -> int | None:
        """The pid of a living dnsmasq of this network."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.hosts_file).encode() in command else None

    def _command(self, subnets: tuple[Subnet, ...]) -> list[str]:
        command = ["dnsmasq", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=0"]
        command += ["--bind-interfaces", f"--interface={self.bridge}", "--except-interface=lo"]
        command += ["--dhcp-authoritative", "--no-ping", "--leasefile-ro", f"--pid-file={self.pid_file}"]
        command += [f"--dhcp-hostsfile={self.hosts_file}", "--log-dhcp", f"--log-facility={self.log_file}"]
        for number, subnet in enumerate(subnets):
            network = IPv4Network(subnet.cidr)
            command.append(
                f"--dhcp-range=set:net{number},{network.network_address},static,{network.netmask},{LEASE_SECONDS}"
            )
            command.append(f"--dhcp-option=tag:net{number},option:router,{subnet.gateway}")
            if subnet.dns:
                command.append(f"--dhcp-option=tag:net{number},option:dns-server,{','.join(subnet.dns)}")
        return command
