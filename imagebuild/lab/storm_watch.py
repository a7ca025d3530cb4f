"""What a storm looks at: the project as OpenStack itself tells it, without our adapters, and foreign things that look like ours."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from imagebuild.cloud import OWNER_KEY, ROLE_KEY
from imagebuild.lab.catalogue import translated
from imagebuild.lab.source_copy import copy_source
from imagebuild.properties import BUILD, CLAIM_ROLE, RECIPE, SELF, STATE, VERSION
from imagebuild.waiting import Deadline, wait_for

_READY_SECONDS = 120
_GONE_SECONDS = 60
_KEPT_VERSIONS = 2


@dataclass(frozen=True)
class LookAlike:
    """A thing that somebody else has made under a name of ours, as it was when it was made."""

    kind: str
    id: str
    was: str


class Watch:
    """One project seen through openstacksdk. `line` is the storm's recipe: all names begin with it, nobody else's do."""

    def __init__(self, sdk: Any, line: str) -> None:
        self._sdk = sdk
        self._line = line
        self._source = ""
        self._look_alikes: list[LookAlike] = []

    def make_source(self, base_name: str) -> str:
        """The base image once more under the line's name; gives the copy's."""
        made = copy_source(self._sdk, base_name, f"{self._line}-source")
        self._source = made.id
        return str(made.name)

    def make_look_alikes(self, *, flavor: str, network: str) -> None:
        """A server, a volume, a security group and two images with names of the line's, and without our mark."""
        name = f"{self._line}-20260101-000000-abcd"
        with translated("making foreign things"):
            compute, block, net, image = self._sdk.compute, self._sdk.block_storage, self._sdk.network, self._sdk.image
            server = compute.create_server(
                name=name,
                image_id=self._source,
                flavor_id=compute.find_flavor(flavor, ignore_missing=False).id,
                networks=[{"uuid": net.find_network(network, ignore_missing=False).id}],
            )
            self._remember("server", server.id)
            self._remember("volume", block.create_volume(name=f"{name}-extra", size=1).id)
            described = f"not by us: {OWNER_KEY}={name}"
            self._remember("security_group", net.create_security_group(name=name, description=described).id)
            # The next version's name, taken by somebody; and a desktop's snapshot, which has inherited a version's properties.
            self._remember("image", image.create_image(name=f"{self._line}-v2", disk_format="raw").id)
            inherited = {RECIPE: self._line, VERSION: "1", STATE: "current", SELF: server.id}
            taken = image.create_image(name=f"{name}-desktop", disk_format="raw", **inherited)
            self._remember("image", taken.id)
        wait_for(self._settled, "the foreign things to be ready", deadline=Deadline.after(_READY_SECONDS), every=0.5)
        self._look_alikes = [LookAlike(one.kind, one.id, self._look(one)) for one in self._look_alikes]

    def _remember(self, kind: str, thing_id: str) -> None:
        self._look_alikes.append(LookAlike(kind, thing_id, ""))

    def _settled(self) -> bool | None:
        states = [self._look(one) for one in self._look_alikes if one.kind in ("server", "volume")]
        return True if all("ACTIVE" in state or "available" in state for state in states) else None

    def _look(self, one: LookAlike) -> str:
        """The thing's name, state and marks in one line; '' when it is gone."""
        find = {
            "server": self._sdk.compute.find_server,
            "volume": self._sdk.block_storage.find_volume,
            "security_group": self._sdk.network.find_security_group,
            "image": self._sdk.image.find_image,
        }[one.kind]
        found = find(one.id)
        if found is None:
            return ""
        marks = _marks_of(found) if one.kind == "image" else getattr(found, "metadata", None) or {}
        state = getattr(found, "status", "") or ""
        return f"{found.name} {state} {sorted(marks.items())} {getattr(found, 'is_hidden', '')}"

    def versions(self) -> list[Any]:
        """The line's registered images."""
        foreign = {one.id for one in self._look_alikes}
        images = [*self._sdk.image.images(owner=self._project()), *self._hidden()]
        return [
            image
            for image in images
            if (marks := _marks_of(image)).get(RECIPE) == self._line
            and marks.get(SELF)
            and image.id not in foreign
            and marks.get(ROLE_KEY) != CLAIM_ROLE
        ]

    def _hidden(self) -> Iterable[Any]:
        return self._sdk.image.images(owner=self._project(), is_hidden=True)  # type: ignore[no-any-return]

    def _project(self) -> str:
        return str(self._sdk.current_project_id)

    def find_lies(self) -> list[str]:
        """What may not be at any moment between two commands: two images of a version, an image that is not what it says."""
        versions = self.versions()
        counted = Counter(image.name for image in versions)
        lies = [f"{number} images are called {name}" for name, number in counted.items() if number > 1]
        for image in versions:
            wrong = [
                *(["it is " + image.status] if image.status != "active" else []),
                *(["it names another image as itself"] if image.properties[SELF] != image.id else []),
                *(["it has no state"] if not image.properties.get(STATE) else []),
                *(["it belongs to a build still"] if image.properties.get(OWNER_KEY) else []),
            ]
            lies += [f"{image.name} ({image.id}): {words}" for words in wrong]
        return lies + self._touched()

    def find_miscounts(self, *, built: set[str], others: set[str]) -> list[str]:
        """A build that says that it is done has one image; any other has one at most: it may have been killed after it was registered."""
        counted = Counter(image.properties.get(BUILD, "") for image in self.versions())
        wrong = [f"{build} is built and has {counted[build]} images" for build in sorted(built) if counted[build] != 1]
        return wrong + [f"{build} has {counted[build]} images" for build in sorted(others) if counted[build] > 1]

    def _touched(self) -> list[str]:
        return [
            f"a foreign {one.kind} was {'deleted' if not now else 'changed'}: it was {one.was!r}, is {now!r}"
            for one in self._look_alikes
            if (now := self._look(one)) != one.was
        ]

    def find_leftovers(self, builds: set[str]) -> list[str]:
        """What stands of these builds in Nova, Cinder, Neutron and Glance, by mark or by name, and ports of servers that are gone."""

        def probe() -> list[str] | None:
            found = [*self._standing(builds), *self._lost_ports()]
            return None if found and not deadline.passed() else found

        deadline = Deadline.after(_GONE_SECONDS)  # a port goes a moment after its server
        return wait_for(probe, "the leftovers to go", deadline=deadline.within(_GONE_SECONDS + 5), every=1.0)

    def _standing(self, builds: set[str]) -> list[str]:
        foreign = {one.id for one in self._look_alikes}
        compute, block, net = self._sdk.compute, self._sdk.block_storage, self._sdk.network
        things = [("server", one, one.metadata) for one in compute.servers()]
        things += [("volume", one, one.metadata) for one in block.volumes()]
        things += [("security group", one, {}) for one in net.security_groups(project_id=self._project())]
        things += [
            ("image", one, one.properties)
            for one in (*self._sdk.image.images(owner=self._project()), *self._hidden())
            if not one.properties.get(SELF)
        ]
        found = []
        for kind, thing, marks in things:
            ours = (marks or {}).get(OWNER_KEY) in builds or any(str(thing.name).startswith(build) for build in builds)
            claim = (marks or {}).get(RECIPE) == self._line and (marks or {}).get(ROLE_KEY) == CLAIM_ROLE
            if (ours or claim) and thing.id not in foreign:
                found.append(f"{'claim' if claim else kind} {thing.name} ({thing.id})")
        return found

    def _lost_ports(self) -> list[str]:
        """Ports that Nova made for servers which are no more."""
        ports = list(self._sdk.network.ports(project_id=self._project()))
        servers = {server.id for server in self._sdk.compute.servers()}
        return [
            f"port {port.id} of the server {port.device_id}"
            for port in ports
            if re.match("compute:", port.device_owner or "") and port.device_id not in servers
        ]

    def prune(self, keep: int = _KEPT_VERSIONS) -> None:
        """Delete all but the newest versions of the line."""
        versions = sorted(self.versions(), key=lambda image: int(image.properties[VERSION]))
        for image in versions[: len(versions) - keep]:
            self._sdk.image.update_image(image, is_protected=False)
            self._sdk.image.delete_image(image)

    def remove(self) -> None:
        """Everything that the storm itself has made."""
        self.prune(keep=0)
        delete = {
            "server": self._sdk.compute.delete_server,
            "volume": self._sdk.block_storage.delete_volume,
            "security_group": self._sdk.network.delete_security_group,
            "image": self._sdk.image.delete_image,
        }
        for one in self._look_alikes:
            delete[one.kind](one.id, ignore_missing=True)
        if self._source:
            self._sdk.image.delete_image(self._source, ignore_missing=True)


def _marks_of(image: Any) -> dict[str, str]:
    """An image's properties; the SDK says None of one that has none, and such ones may be anybody's in the project."""
    return image.properties or {}
