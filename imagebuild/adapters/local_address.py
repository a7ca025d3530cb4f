"""Which address of this machine is used to reach a network: the one that a builder's WinRM is opened for."""

import ipaddress
import socket

from imagebuild.errors import RecipeError


def address_towards(cidr: str) -> str:
    """This machine's address as a CIDR of one host, by the routing table; nothing is sent (a UDP connect only looks the route up)."""
    network = ipaddress.ip_network(cidr)
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(next(iter(network.hosts()))), 9))
        except OSError as error:
            words = f"this machine has no route to {cidr}: {error.strerror}"
            raise RecipeError(
                words, hint="run where the builder's network can be reached, or set builder.allow_from"
            ) from error
        address = probe.getsockname()[0]
    return f"{address}/{128 if network.version == 6 else 32}"
