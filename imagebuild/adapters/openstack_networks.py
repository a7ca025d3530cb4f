"""Neutron: networks, and the security group that a build brings with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from imagebuild.adapters.openstack_api import Service, find_or_create
from imagebuild.adapters.openstack_values import describe_owner, read_owner, read_security_group
from imagebuild.cloud import Network, SecurityGroup
from imagebuild.errors import CloudRefused
from imagebuild.waiting import Clock, Deadline, wait_for


class Networks:
    """Networks that one project sees, and its security groups."""

    def __init__(self, neutron: Service, *, project_id: str, clock: Clock) -> None:
        self._neutron = neutron
        self._project_id = project_id
        self._clock = clock

    def find(self, name: str) -> Network | None:
        """By name, then by id, with its subnets' ranges; CloudRefused when several share the name."""
        doing = f"look for the network '{name}'"
        found = list(self._neutron.list("/networks", "networks", doing=doing, params={"name": name}))
        found = found or list(self._neutron.list("/networks", "networks", doing=doing, params={"id": name}))
        if len(found) > 1:
            hint = "name one by its id: " + ", ".join(item["id"] for item in found)
            raise CloudRefused(f"{len(found)} networks are called '{name}'", hint=hint)
        if not found:
            return None
        network_id = found[0]["id"]
        subnets = self._neutron.list("/subnets", "subnets", doing=doing, params={"network_id": network_id})
        return Network(
            id=network_id,
            name=found[0]["name"],
            cidrs=tuple(subnet["cidr"] for subnet in subnets),
            project_id=found[0].get("project_id") or "",
        )

    def quota(self) -> dict[str, Any]:
        """Limit and use by resource; {} where the policy keeps it from ordinary users."""
        path = f"/quotas/{self._project_id}/details"
        answer = self._neutron.get(path, doing="read the network quota", expect=(403, 404))
        return {} if answer.status in (403, 404) else dict(answer.json().get("quota") or {})

    def groups(self) -> Iterator[SecurityGroup]:
        """The project's security groups."""
        params = {"project_id": self._project_id}
        for item in self._neutron.list(
            "/security-groups", "security_groups", doing="list security groups", params=params
        ):
            yield read_security_group(item)

    def create_group(self, name: str, *, owner: str, allow_from: str, ports: Sequence[int]) -> SecurityGroup:
        """Find-or-create by owner and name; rules that an interrupted call left out are added."""

        def find() -> SecurityGroup | None:
            for group in self.groups():
                if group.name == name and read_owner(group.description) == owner:
                    return group
            return None

        def create() -> SecurityGroup:
            body = {"security_group": {"name": name, "description": describe_owner(owner)}}
            answer = self._neutron.call(
                "POST", "/security-groups", doing=f"create the security group '{name}'", body=body
            )
            return read_security_group(answer.json()["security_group"])

        group = find_or_create(find, create, f"the security group '{name}'", clock=self._clock)
        for port in ports:
            self._allow(group, port=port, allow_from=allow_from)
        return group

    def _allow(self, group: SecurityGroup, *, port: int, allow_from: str) -> None:
        rule = {
            "security_group_id": group.id,
            "direction": "ingress",
            "ethertype": "IPv6" if ":" in allow_from else "IPv4",
            "protocol": "tcp",
            "port_range_min": port,
            "port_range_max": port,
            "remote_ip_prefix": allow_from,
        }
        doing = f"let TCP {port} in from {allow_from} by the security group '{group.name}'"
        body = {"security_group_rule": rule}
        answer = self._neutron.call("POST", "/security-group-rules", doing=doing, body=body, expect=(409,), repeat=True)
        if answer.status == 409 and "SecurityGroupRuleExists" not in answer.text:
            raise CloudRefused(f"could not {doing}: over quota or in conflict", hint="look at the security group quota")

    def delete_group(self, group_id: str, *, deadline: Deadline) -> None:
        """Delete; 409 while a port still uses it, which goes soon after its server."""

        def probe() -> bool | None:
            doing = f"delete the security group {group_id}"
            path = f"/security-groups/{group_id}"
            answer = self._neutron.call("DELETE", path, doing=doing, expect=(404, 409), repeat=True)
            return None if answer.status == 409 else True

        hint = "a port still uses it: `openstack port list --security-group` names it"
        wait_for(
            probe, f"the security group {group_id} to be gone", deadline=deadline, every=0.2, slowest=4.0, hint=hint
        )
