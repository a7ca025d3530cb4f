"""The network as Windows remembers it: the lease in the registry, whose it was, and what listens. Clones inherit all of it."""

from __future__ import annotations

import re

from imagebuild.lab.guest.standin.machine import Machine
from imagebuild.lab.guest.standin.model.registry import Registry

TCPIP = "HKLM:\\SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters"
INTERFACE = TCPIP + "\\Interfaces\\{5AEBA1D0-0000-4000-8000-57A4D1400000}"
ADAPTER_INDEX = 7
LEASE_NAMES = re.compile(r"(Dhcp.*|Lease.*|T1|T2|AddressType|IsServerNapAware)\Z", re.IGNORECASE)
HOUR = 3600


class Network:
    """Leases are looked at by their registry values only, so that whatever clears those clears the lease."""

    def __init__(self, registry: Registry, machine: Machine) -> None:
        self._registry = registry
        self._machine = machine

    def stale_address(self) -> str | None:
        """The address that this Windows believes to own although the lease was another machine's.

        Windows asks for the remembered address first; in a clone that is the master's, and the cloud drops what comes from it.
        """
        address = self._registry.get(INTERFACE, "DhcpIPAddress")
        same = self._registry.get(INTERFACE, "DhcpNetworkHint") == self._machine.mac()
        return None if address is None or same else str(address)

    def keep_lease(self, address: str, *, now: int) -> None:
        """Remember what DHCP gave, as the Dhcp service does; `now` in seconds of the epoch."""
        for name, value in (
            ("DhcpIPAddress", address),
            ("DhcpSubnetMask", "255.255.255.0"),
            ("DhcpServer", "255.255.255.255"),
            ("DhcpNetworkHint", self._machine.mac() or ""),
            ("Lease", 24 * HOUR),
            ("LeaseObtainedTime", now),
            ("T1", now + 12 * HOUR),
            ("T2", now + 21 * HOUR),
            ("LeaseTerminatesTime", now + 24 * HOUR),
            ("AddressType", 0),
            ("IsServerNapAware", 0),
        ):
            self._registry.set(INTERFACE, name, value)
        self._registry.set(INTERFACE, "EnableDHCP", 1)

    def lease_values(self) -> list[str]:
        """Names of all stored values of the lease."""
        return [name for name in self._registry.value_names(INTERFACE) if LEASE_NAMES.match(name)]

    def forget_lease(self) -> int:
        """Clear every stored value of the lease; how many there were."""
        names = self.lease_values()
        for name in names:
            self._registry.remove_value(INTERFACE, name)
        return len(names)

    def release(self) -> None:
        """Give the address back to the server."""
        self._machine.release_dhcp()

    def persistent_routes(self) -> list[str]:
        """Routes that were added for good, which clones would inherit."""
        return self._registry.value_names(TCPIP + "\\PersistentRoutes")
