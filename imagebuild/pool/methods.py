"""Rebuild or replace: what Nova allows for one desktop, and what the pool's rules want."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from imagebuild.cloud import Flavor, Image, Network
from imagebuild.pool.definition import Rules
from imagebuild.pool.model import Desktop, Method
from imagebuild.pool.survey import has_vtpm


@dataclass(frozen=True)
class Choice:
    """How one desktop is moved, and why so where it is not the usual way; `method` None: not at all, and `why` says what to do."""

    method: Method | None
    why: str


def choose_method(desktop: Desktop, rules: Rules, *, image: Image, flavor: Flavor, network: Network) -> Choice:
    """How this desktop comes to that image; `flavor` and `network` are those that the pool's file wants.

    Nova refuses to rebuild a server with a virtual TPM, before and after (api: reject_vtpm_instances). A volume-backed root it
    overwrites in place from microversion 2.93 on, without a question: only where the rules say so.
    """
    wish, vtpm = rules.method, desktop.vtpm or has_vtpm(image, {})
    if wish == "broker":
        return Choice("broker", "")
    if wish == "replace":
        return Choice("replace", "the pool's rules say so")
    if vtpm:
        if wish == "rebuild":
            return Choice(
                None, "it has a virtual TPM, which Nova does not rebuild: roll.method must be auto or replace"
            )
        return Choice("replace", "it has a virtual TPM, which Nova does not rebuild")
    if desktop.volume_backed and not rules.allow_root_volume_wipe:
        if wish == "rebuild":
            return Choice(
                None, "its root is a volume: roll.allow_root_volume_wipe must be true, or roll.method replace"
            )
        return Choice("replace", "its root is a volume, and roll.allow_root_volume_wipe is false")
    if wish == "auto" and (change := _changed(desktop, flavor, network)):
        return Choice("replace", change)
    if desktop.volume_backed:
        return Choice("rebuild", "its root volume is overwritten: roll.allow_root_volume_wipe")
    return Choice("rebuild", "the pool's rules say so" if wish == "rebuild" else "")


def _changed(desktop: Desktop, flavor: Flavor, network: Network) -> str:
    """What of the pool's file a rebuild cannot bring to the desktop; '' when nothing is other."""
    if desktop.flavor and desktop.flavor not in (flavor.name, flavor.id):
        return f"its flavor is {desktop.flavor}, the pool's is {flavor.name}"
    ranges = [ip_network(cidr) for cidr in network.cidrs]
    addresses = [ip_address(text) for text in desktop.addresses]
    if addresses and ranges and not any(address in one for address in addresses for one in ranges):
        return f"it is at {desktop.addresses[0]}, outside the pool's network {network.name}"
    return ""
