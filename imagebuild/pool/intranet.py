"""The `intranet:` section of a pool file: what is to be around its desktops."""

from ipaddress import IPv4Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from imagebuild.recipe_header import Section


def _a_range(value: str) -> str:
    return str(ip_network(value))  # as Neutron gives it back; raises ValueError with words for a person


AddressRange = Annotated[str, AfterValidator(_a_range)]


class Intranet(Section):
    """What `invoke pool.network` makes or checks around the desktops: a network, its subnet, and one security group."""

    subnet: AddressRange = Field(description="the desktops' addresses: 172.16.100.0/24")
    gateway: str | None = Field(default=None, description="default: the first address of the subnet")
    allocation: str | None = Field(
        default=None,
        pattern=r"^[0-9.]+ *- *[0-9.]+$",
        description="FIRST-LAST that desktops get: keeps addresses free of machines that Neutron does not know",
    )
    dns: tuple[str, ...] = Field(min_length=1, description="the domain controllers: without them no domain is joined")
    rdp_from: tuple[AddressRange, ...] = Field(
        min_length=1,
        description="who may reach Remote Desktop (3389): users, and the machine that rolls the pool: it knocks there",
    )
    agent_from: tuple[AddressRange, ...] = Field(default=(), description="the broker: who may reach the agent's port")
    agent_port: int = Field(default=8080, ge=1, le=65535, description="where the broker reaches the agent")
    reach: tuple[AddressRange, ...] = Field(
        min_length=1, description="where desktops may go; nothing else: no internet"
    )

    @model_validator(mode="after")
    def _inside(self) -> "Intranet":
        network = ip_network(self.subnet)
        if not isinstance(network, IPv4Network):
            raise ValueError("subnet is a range of IPv4 addresses")
        for text in filter(None, (self.gateway, *(self.first_and_last or ()))):
            if ip_address(text) not in network:
                raise ValueError(f"{text} is not an address of {self.subnet}")
        for text in self.dns:
            if not any(ip_address(text) in ip_network(one) for one in (*self.reach, self.subnet)):
                raise ValueError(f"desktops could not ask {text}: `reach` does not have it")
        return self

    @property
    def first_and_last(self) -> tuple[str, str] | None:
        """The ends of `allocation`."""
        if self.allocation is None:
            return None
        first, _, last = self.allocation.partition("-")
        return first.strip(), last.strip()
