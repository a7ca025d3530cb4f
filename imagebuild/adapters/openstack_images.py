"""Glance: images of a project, and snapshots of its servers."""

import uuid
from collections.abc import Iterator, Mapping

from imagebuild.adapters.openstack_api import Service, find_or_create, persist
from imagebuild.adapters.openstack_errors import make_error
from imagebuild.adapters.openstack_servers import Servers
from imagebuild.adapters.openstack_values import read_image, write_image_patch
from imagebuild.cloud import OWNER_KEY, Image
from imagebuild.errors import CloudRefused
from imagebuild.waiting import Clock, Deadline, wait_for

_PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
_GONE = frozenset({"deleted", "pending_delete", "killed"})


class Images:
    """Images that one project sees; listings show its own."""

    def __init__(self, glance: Service, *, project_id: str, clock: Clock) -> None:
        self._glance = glance
        self._project_id = project_id
        self._clock = clock

    def get(self, image_id: str) -> Image | None:
        """The image, None when it is gone."""
        answer = self._glance.get(f"/images/{image_id}", doing=f"look at the image {image_id}", expect=(404,))
        if answer.status == 404:
            return None
        image = read_image(answer.json())
        return None if image.status in _GONE else image

    def find(self, name_or_id: str) -> Image | None:
        """By id, else the one active image of that name that this project sees (its own, public, shared)."""
        if _is_id(name_or_id) and (image := self.get(name_or_id)) is not None:
            return image
        found = [
            image for image in self._list({"name": name_or_id}) if image.name == name_or_id and image.status == "active"
        ]
        if len(found) > 1:
            raise CloudRefused(
                f"{len(found)} active images are called '{name_or_id}'",
                hint="name one by its id: " + ", ".join(image.id for image in found),
            )
        return found[0] if found else None

    def all(self, properties: Mapping[str, str] | None = None) -> Iterator[Image]:
        """The project's own images, hidden ones too, with these property values."""
        return self._hidden_too(properties or {}, {"owner": self._project_id})

    def borrowed(self, properties: Mapping[str, str]) -> Iterator[Image]:
        """Other projects' images that a listing shows to this one: public ones, and shared ones once it has accepted them."""
        return self._hidden_too(properties, {}, but_for=self._project_id)

    def _hidden_too(
        self, properties: Mapping[str, str], params: Mapping[str, str], *, but_for: str = ""
    ) -> Iterator[Image]:
        for hidden in ("false", "true"):
            for image in self._list({**properties, **params, "os_hidden": hidden}, but_for=but_for):
                if properties.items() <= image.properties.items():
                    yield image

    def _list(self, params: Mapping[str, str], *, but_for: str = "") -> Iterator[Image]:
        for item in self._glance.list("/images", "images", doing="list images", params=params):
            if item["status"] not in _GONE and not (but_for and item["owner"] == but_for):
                yield read_image(item)

    def snapshot(
        self, servers: Servers, server_id: str, *, name: str, owner: str, properties: Mapping[str, str]
    ) -> Image:
        """createImage: find-or-create by owner and name. Nova makes the image's record before it answers."""
        doing = f"make the image '{name}' of the server {server_id}"

        def find() -> Image | None:
            return next((image for image in self.all({OWNER_KEY: owner}) if image.name == name), None)

        def create() -> Image:
            told = {**properties, OWNER_KEY: owner}
            body = {"createImage": {"name": name, "metadata": told}}
            image_id = servers.act(server_id, body, doing=doing).json()["image_id"]
            return Image(
                id=image_id, name=name, status="queued", properties=told
            )  # what came of it, who waits will see

        return find_or_create(find, create, f"the image '{name}'", clock=self._clock)

    def reserve(self, image_id: str, name: str, *, properties: Mapping[str, str]) -> Image | None:
        """An empty record under a chosen id; None when the id is taken, also by an image that was deleted long ago (409, too)."""
        doing = f"reserve the image '{name}' ({image_id})"
        body = {
            "id": image_id,
            "name": name,
            "visibility": "private",
            "os_hidden": True,
            "disk_format": "raw",
            "container_format": "bare",
            **properties,
        }
        answer = self._glance.call("POST", "/images", doing=doing, body=body, expect=(409,), repeat=True)
        if answer.status != 409:
            return read_image(answer.json())
        standing = self.get(image_id)  # ours when the first of two requests was done and its answer lost
        return standing if standing and dict(properties).items() <= standing.properties.items() else None

    def set_active(self, image_id: str, *, active: bool) -> Image:
        """Deactivate or reactivate. Glance's default policy lets administrators only, since Wallaby the image's project, too."""
        verb = "reactivate" if active else "deactivate"
        doing = f"{verb} the image {image_id}"
        self._glance.call("POST", f"/images/{image_id}/actions/{verb}", doing=doing, repeat=True)
        return read_image(self._glance.get(f"/images/{image_id}", doing=doing).json())

    def update(self, image_id: str, wanted: Mapping[str, str | int | bool | None]) -> Image:
        """Bring the named members to the wanted values; None removes one. A JSON patch against what stands there now.

        Glance reads, patches and saves all properties without a lock: of two changes at once, even of different properties,
        one may be lost without an error (in 20 of 30 tries with Glance 33).
        """
        # Each try reads first: what was done already is not asked for twice.
        return persist(lambda: self._patch(image_id, wanted), f"to change the image {image_id}", clock=self._clock)

    def _patch(self, image_id: str, wanted: Mapping[str, str | int | bool | None]) -> Image:
        doing = f"change the image {image_id}"
        current = self._glance.get(f"/images/{image_id}", doing=doing).json()
        patch = write_image_patch(current, wanted)
        if not patch:
            return read_image(current)
        headers = {"Content-Type": _PATCH_TYPE}
        return read_image(
            self._glance.call("PATCH", f"/images/{image_id}", doing=doing, body=patch, headers=headers).json()
        )

    def delete(self, image_id: str, *, deadline: Deadline) -> None:
        """Delete and wait. A protected one is refused; one whose data is still being written waits for it."""
        doing = f"delete the image {image_id}"

        def probe() -> bool | None:
            answer = self._glance.call(
                "DELETE", f"/images/{image_id}", doing=doing, expect=(403, 404, 409), repeat=True
            )
            if answer.status == 403 and (image := self.get(image_id)) and image.protected:
                words = f"could not {doing}: '{image.name}' is protected"
                raise CloudRefused(words, hint="take the protection away first, if you mean it")
            if answer.status == 403:
                raise make_error(doing, answer)
            return None if answer.status == 409 else True

        wait_for(probe, f"the image {image_id} to be gone", deadline=deadline, every=0.2, slowest=4.0)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
