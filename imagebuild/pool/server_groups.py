"""Server groups of a pool's desktops: how they are spread over hosts. A server joins one when it is made and never again.

So whoever makes a desktop says which: one that takes another's place stays in the group of that one; where there was none, and for
new desktops, it is the one that the pool's file names. A rebuild keeps server and group.
"""

from collections.abc import Sequence

from imagebuild.cloud import ServerGroup
from imagebuild.errors import CloudRefused, NotFound
from imagebuild.pool.definition import PoolDefinition


def pick_group(definition: PoolDefinition, groups: Sequence[ServerGroup]) -> ServerGroup | None:
    """The server group that the pool's file names, None when it names none. Raises NotFound, CloudRefused when several have the name."""
    wanted = definition.server_group
    if wanted is None:
        return None
    found = [one for one in groups if one.id == wanted] or [one for one in groups if one.name == wanted]
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise CloudRefused(f"{len(found)} server groups are called {wanted}", hint=f"name one by its id: {ids}")
    if not found:
        make = f"openstack --os-compute-api-version 2.15 server group create --policy soft-anti-affinity {wanted}"
        raise NotFound(f"there is no server group {wanted}", hint=f"make it: {make}; or name one that is there")
    return found[0]


def explain_fault(fault: str, group: str | None) -> str:
    """Nova's words on a server that did not start; one that finds no host may find none because of its server group (name or id)."""
    if group is None or "No valid host" not in fault:
        return fault
    return f"{fault} (it is in the server group {group}, whose policy may leave it no host: openstack server group show {group})"
