"""Cinder: volumes, blank or filled from an image."""

from collections.abc import Iterator
from typing import Any

from imagebuild.adapters.openstack_api import Service, find_or_create
from imagebuild.adapters.openstack_values import read_volume
from imagebuild.cloud import OWNER_KEY, ROLE_KEY, Volume
from imagebuild.errors import CloudError
from imagebuild.waiting import Clock, Deadline, wait_for

# Cinder takes a delete in these states and refuses it in all others.
_DELETABLE = frozenset({"available", "error", "error_restoring", "error_extending", "error_managing"})
_GOING = frozenset({"deleting", "error_deleting"})


class Volumes:
    """Volumes of one project."""

    def __init__(self, cinder: Service, *, clock: Clock) -> None:
        self._cinder = cinder
        self._clock = clock

    def limits(self) -> dict[str, Any]:
        """Cinder's absolute limits."""
        absolute = self._cinder.get("/limits", doing="read the volume quota").json()["limits"]["absolute"]
        return dict(absolute)

    def all(self) -> Iterator[Volume]:
        """All of the project, with metadata."""
        for item in self._cinder.list("/volumes/detail", "volumes", doing="list volumes"):
            yield read_volume(item)

    def get(self, volume_id: str) -> Volume | None:
        """The volume, None when it is gone."""
        answer = self._cinder.get(f"/volumes/{volume_id}", doing=f"look at the volume {volume_id}", expect=(404,))
        return None if answer.status == 404 else read_volume(answer.json()["volume"])

    def create(self, name: str, *, owner: str, role: str, gib: int, image_id: str | None) -> Volume:
        """Find-or-create by owner, role and name."""
        tags = {OWNER_KEY: owner, ROLE_KEY: role}

        def find() -> Volume | None:
            for volume in self.all():
                if volume.name == name and volume.status not in _GOING and tags.items() <= volume.metadata.items():
                    return volume
            return None

        def create() -> Volume:
            volume: dict[str, Any] = {"name": name, "size": gib, "metadata": tags}
            if image_id is not None:
                volume["imageRef"] = image_id
            doing = f"create the volume '{name}'"
            return read_volume(
                self._cinder.call("POST", "/volumes", doing=doing, body={"volume": volume}).json()["volume"]
            )

        return find_or_create(find, create, f"the volume '{name}'", clock=self._clock)

    def delete(self, volume_id: str, *, deadline: Deadline) -> None:
        """Delete and wait, also for a detach or a copy that is under way."""
        last_status = "unknown"

        def probe() -> bool | None:
            nonlocal last_status
            volume = self.get(volume_id)
            if volume is None:
                return True
            last_status = volume.status
            if volume.status == "error_deleting":
                raise CloudError(
                    f"could not delete the volume {volume_id}: Cinder says error_deleting",
                    hint="the storage behind it refuses; the operator can reset its state",
                )
            if volume.status in _DELETABLE:
                doing = f"delete the volume {volume_id}"
                # 400: its state changed between the two calls.
                self._cinder.call("DELETE", f"/volumes/{volume_id}", doing=doing, expect=(400, 404), repeat=True)
            return None

        hint = "a volume in use goes when its server is gone; `openstack volume show` names the server"
        wait_for(probe, f"the volume {volume_id} to be gone", deadline=deadline, every=0.2, slowest=4.0, hint=hint)
