"""The `intranet:` section of a pool file: what is to be around its desktops."""

from ipaddress import IPv4Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from imagebuild.complaints import Whole, complaint
from imagebuild.recipe_header import Section


def _a_range(value: str) -> str:
    return str(ip_network(value))  # as Neutron gives it back; raises ValueError with words for a person


def _of_ipv4(value: str) -> str:
    if ip_network(value).version != 4:
        raise ValueError("must be a range of IPv4 addresses")
    return value


def _an_address(value: str) -> str:
    return str(ip_address(value))


def _a_span(value: str) -> str:
    first, dash, last = (part.strip() for part in value.partition("-"))
    if not dash:
        raise ValueError("must be FIRST-LAST: 172.16.100.50-172.16.100.99")
    if int(ip_address(first)) > int(ip_address(last)):
        raise ValueError(f"ends before it begins: {last} is lower than {first}")
    return f"{first}-{last}"


AddressRange = Annotated[str, AfterValidator(_a_range)]
Address = Annotated[str, AfterValidator(_an_address)]


class Intranet(Section):
    """What `invoke pool.network` makes or checks around the desktops: a network, its subnet, and one security group."""

    subnet: Annotated[AddressRange, AfterValidator(_of_ipv4)] = Field(
        description="the desktops' addresses: 172.16.100.0/24"
    )
    gateway: Address | None = Field(default=None, description="default: the first address of the subnet")
    allocation: Annotated[str, AfterValidator(_a_span)] | None = Field(
        default=None,
        description="FIRST-LAST that desktops get: keeps addresses free of machines that Neutron does not know",
    )
    dns: tuple[Address, ...] = Field(
        min_length=1, description="the domain controllers: without them no domain is joined"
    )
    rdp_from: tuple[AddressRange, ...] = Field(
        min_length=1,
        description="who may reach Remote Desktop (3389): users, and the machine that rolls the pool: it knocks there",
    )
    agent_from: tuple[AddressRange, ...] = Field(default=(), description="the broker: who may reach the agent's port")
    agent_port: Whole = Field(default=8080, ge=1, le=65535, description="where the broker reaches the agent")
    reach: tuple[AddressRange, ...] = Field(
        min_length=1, description="where desktops may go; nothing else: no internet"
    )

    @model_validator(mode="after")
    def _inside(self) -> "Intranet":
        network = IPv4Network(self.subnet)
        ends = {network.network_address, network.broadcast_address}
        for key, named in (("gateway", (self.gateway,)), ("allocation", self.first_and_last or ())):
            for text in filter(None, named):
                if ip_address(text) not in network or ip_address(text) in ends:
                    raise complaint(f"{text} is not an address of a machine in {self.subnet}", key)
        for text in self.dns:
            if not any(ip_address(text) in ip_network(one) for one in (*self.reach, self.subnet)):
                raise complaint(f"desktops could not ask {text}: `reach` does not have it", "dns")
        return self

    @property
    def first_and_last(self) -> tuple[str, str] | None:
        """The ends of `allocation`."""
        if self.allocation is None:
            return None
        first, _, last = self.allocation.partition("-")
        return first, last
