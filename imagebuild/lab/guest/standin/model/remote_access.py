"""How this Windows is reached: WinRM listeners and their certificate, the firewall rule, remote desktop."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from imagebuild.lab.guest.standin.machine import Machine
from imagebuild.lab.guest.standin.model.edition import COMPLETE, TERMINAL
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.registry import CURRENT, SETUP_STATE, Registry
from imagebuild.lab.guest.standin.model.store import Store

WSMAN = CURRENT + "\\WSMAN"
LISTENERS = WSMAN + "\\Listener"
FIREWALL_RULES = "HKLM:\\SYSTEM\\CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules"
PORTS = {"http": 5985, "https": 5986}
QUOTAS = {"MaxShellsPerUser": 5, "MaxEnvelopeSizekb": 150}


class RemoteAccess:
    """Listeners are what stands in the registry; a certificate is kept beside the drive, its thumbprint is its name."""

    def __init__(self, store: Store, registry: Registry, machine: Machine, faults: Faults, folder: Path) -> None:
        self._store = store
        self._certificates = store.section("certificates")
        self._registry = registry
        self._machine = machine
        self._faults = faults
        self._folder = folder
        self.service_died = False

    def listeners(self) -> frozenset[str]:
        """Transports that are listened on now; none once the service has died."""
        if self.service_died:
            return frozenset()
        there = {transport for transport in PORTS if self._registry.has_key(f"{LISTENERS}\\*+{transport.upper()}")}
        return frozenset(there - {"https"} if self.certificate() is None else there)

    def add_listener(self, transport: str, thumbprint: str = "") -> None:
        """Listen on a transport; HTTPS by the certificate of that thumbprint."""
        key = f"{LISTENERS}\\*+{transport.upper()}"
        self._registry.set(key, "Port", PORTS[transport])
        if thumbprint:
            self._registry.set(key, "certThumbprint", thumbprint)

    def certificate(self) -> tuple[Path, Path] | None:
        """Certificate and key of the HTTPS listener."""
        entry = self._certificates.get(self._registry.get(f"{LISTENERS}\\*+HTTPS", "certThumbprint", ""))
        return None if entry is None else (self._folder / entry["certificate"], self._folder / entry["key"])

    def make_certificate(self, common_name: str) -> str:
        """A new self-signed certificate in the machine's own store; its thumbprint (SHA-1, as Windows names certificates)."""
        folder = self._folder / os.urandom(8).hex()
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self._machine.make_certificate(common_name, folder)
        encoded = "".join(line for line in certificate.read_text("ascii").splitlines() if not line.startswith("-"))
        thumbprint = hashlib.sha1(base64.b64decode(encoded), usedforsecurity=False).hexdigest().upper()
        with self._store.change():
            self._certificates[thumbprint] = {
                "subject": f"CN={common_name}",
                "certificate": str(certificate.relative_to(self._folder)),
                "key": str(key.relative_to(self._folder)),
            }
        return thumbprint

    def certificates(self) -> dict[str, str]:
        """Thumbprint -> subject."""
        return {thumbprint: str(entry["subject"]) for thumbprint, entry in sorted(self._certificates.items())}

    def find_certificates(self, prints: list[str]) -> list[str]:
        """Thumbprints of the certificates that are named by theirs (40 digits) or by their SHA-256 (64 digits)."""
        wanted = {one.upper() for one in prints}
        hashes = {
            name: self._machine.certificate_sha256(self._folder / entry["certificate"])
            for name, entry in self._certificates.items()
        }
        return sorted(name for name, sha256 in hashes.items() if {name, sha256.upper()} & wanted)

    def remove_certificate(self, thumbprint: str) -> None:
        """Delete a certificate with its key."""
        with self._store.change():
            entry = self._certificates.pop(thumbprint.upper(), None)
        for name in ("certificate", "key") if entry else ():
            (self._folder / entry[name]).unlink(missing_ok=True)

    def allow(self, *, basic: bool, unencrypted: bool) -> None:
        """The two settings of the service by which passwords can travel in clear."""
        self._registry.set(WSMAN + "\\Service", "auth_basic", int(basic))
        self._registry.set(WSMAN + "\\Service", "allow_unencrypted", int(unencrypted))

    def allows(self, name: str) -> bool:
        """One of the service's switches: auth_basic or allow_unencrypted."""
        return bool(self._registry.get(WSMAN + "\\Service", name, 0))

    def set_quota(self, name: str, value: int) -> None:
        """Set a limit of the service."""
        self._registry.set(WSMAN + "\\Quota", name, value)

    def quota(self, name: str) -> int:
        """A limit of the service; what Windows 7 has where nothing was set."""
        return int(self._registry.get(WSMAN + "\\Quota", name, QUOTAS[name]))

    def open_firewall(self, rule: str, port: int) -> None:
        """Allow a TCP port under a rule of this name."""
        self._registry.set(
            FIREWALL_RULES, rule, f"v2.0|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort={port}|Name={rule}|"
        )

    def firewall_rules(self) -> list[str]:
        """Names of the rules that were added."""
        return self._registry.value_names(FIREWALL_RULES)

    def close_firewall(self, rule: str) -> None:
        """Remove a rule; one that is not there is no error."""
        self._registry.remove_value(FIREWALL_RULES, rule)

    def desktop_enabled(self) -> bool:
        """Whether remote desktop takes connections."""
        return bool(self._registry.get(TERMINAL, "fDenyTSConnections", 1) == 0)

    def desktop_answers(self) -> bool:
        """Whether a client gets through: it is enabled, set up, and on the port that is played."""
        complete = self._registry.get(SETUP_STATE, "ImageState", COMPLETE) == COMPLETE
        return self.desktop_enabled() and complete and self.desktop_port() == 3389 and "rdp-deaf" not in self._faults

    def desktop_port(self) -> int:
        """The TCP port of remote desktop."""
        return int(self._registry.get(TERMINAL + "\\WinStations\\RDP-Tcp", "PortNumber", 3389))
