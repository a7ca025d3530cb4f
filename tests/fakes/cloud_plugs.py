"""Ports of the fake cloud and the addresses that they hold: an address is one port's until that goes."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import uuid4

from imagebuild.cloud import Port
from imagebuild.errors import CloudRefused


class Plugs:
    """All ports. One that Nova made (without a description) goes with its server, one that we made is free again then."""

    def __init__(self) -> None:
        self.ports: dict[str, Port] = {}
        self._by_name: dict[tuple[str, str], str] = {}
        self._by_server: dict[str, list[str]] = defaultdict(list)
        self._by_address: dict[str, str] = {}
        self._hosts = itertools.count(10)

    def make(
        self,
        name: str,
        *,
        network_id: str,
        address: str | None = None,
        description: str = "",
        security_groups: Sequence[str] = (),
    ) -> Port:
        """A port with that address, or with a free one."""
        address = address or next(self._free())
        if address in self._by_address:
            raise CloudRefused(f"409 IpAddressAlreadyAllocated: {address}", hint="it is in use")
        made = Port(
            id=str(uuid4()),
            name=name,
            network_id=network_id,
            status="DOWN",
            addresses=(address,),
            description=description,
            security_groups=tuple(security_groups),
        )
        self.ports[made.id] = made
        self._by_address[address] = made.id
        if description:
            self._by_name[name, description] = made.id
        return made

    def named(self, name: str, description: str) -> Port | None:
        """The one of ours with that name."""
        port_id = self._by_name.get((name, description))
        return self.ports[port_id] if port_id else None

    def plug(self, port_id: str, server_id: str) -> None:
        """The server has it now."""
        self.ports[port_id] = replace(self.ports[port_id], server_id=server_id, status="ACTIVE")
        self._by_server[server_id].append(port_id)

    def unplug(self, server_id: str) -> None:
        """The server is gone."""
        for port_id in self._by_server.pop(server_id, ()):
            port = self.ports[port_id]
            if port.description:
                self.ports[port_id] = replace(port, server_id=None, status="DOWN")
            else:
                self.drop(port_id)

    def drop(self, port_id: str) -> None:
        """Delete it."""
        port = self.ports.pop(port_id)
        self._by_name.pop((port.name, port.description), None)
        for address in port.addresses:
            del self._by_address[address]

    def of(self, server_id: str) -> tuple[Port, ...]:
        """The server's."""
        return tuple(self.ports[port_id] for port_id in self._by_server.get(server_id, ()))

    def _free(self) -> Iterator[str]:
        for number in self._hosts:
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            if address not in self._by_address:
                yield address
