"""Leostream's centers, which are its views of a cloud: scanning one, and finding an image in its list by name."""

from collections.abc import Mapping
from typing import Any

from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable, DeadlinePassed
from imagebuild.waiting import Deadline, pause, wait_for

_SCANNING = 5  # a center's status: 1 online, 2 offline, 3 needs upgrade, 4 disk full, 5 scanning
_ONLINE = 1
_OPENSTACK = ("openstack", "K")  # its type, and the letter for it in `flavor`
_LOOK_EVERY = 3.0
_SLOWEST_LOOK = 15.0
_LISTED_SECONDS = 120.0


class Centers:
    """The centers of one broker. `name`: which of them is meant; without it, the only one that is an OpenStack."""

    def __init__(self, api: LeostreamApi, *, name: str | None = None, scan_seconds: float = 900.0) -> None:
        self._api = api
        self._name = name
        self._scan_seconds = scan_seconds

    def find(self) -> int:
        """The number of the center. Raises BrokerRefused when it is not clear which."""
        found = [one for one in self._list() if self._is_meant(one)]
        if len(found) == 1:
            return int(found[0]["id"])
        which = f"named {self._name}" if self._name else "of OpenStack"
        raise BrokerRefused(
            f"the broker has {len(found) or 'no'} centers {which}",
            hint="say its name as `center` in the broker section",
        )

    def scan(self, center: int, *, wait: bool) -> None:
        """Let the broker look at its cloud; one that is under way already counts."""
        self._api.post(f"/centers/{center}/scan", doing="scan the broker's center", expect=(409,))
        if not wait:
            return
        deadline = Deadline.after(self._scan_seconds, self._api.clock)
        try:
            pause(_LOOK_EVERY, deadline=deadline)  # the scan is a job of a queue: at once it may not have begun
            status = wait_for(
                lambda: self._settled(center),
                "the scan of the broker's center",
                deadline=deadline,
                every=_LOOK_EVERY,
                slowest=_SLOWEST_LOOK,
            )
        except DeadlinePassed as error:
            raise BrokerUnreachable(
                str(error), hint="the broker's job list shows the scan; scan_minutes gives it longer"
            ) from None
        if status.get("status") != _ONLINE:
            words = status.get("status_label") or f"in status {status.get('status')}"
            raise BrokerRefused(
                f"the broker's center {status.get('name', center)} is {words}",
                hint="see to it in the broker's own pages",
            )

    def find_image(self, center: int, name: str, *, scan: bool = True) -> int:
        """The broker's own number of an image, which is not Glance's id. When it is not listed the center is scanned."""
        number = _number_of(self._read(center), name)
        if number is not None:
            return number
        if not scan:
            raise BrokerRefused(f"the broker knows no image {name}", hint="is it hidden? a scan does not find such")
        self.scan(center, wait=True)
        deadline = Deadline.after(min(_LISTED_SECONDS, self._scan_seconds), self._api.clock)
        try:
            return wait_for(
                lambda: _number_of(self._read(center), name),
                f"the image {name} in the broker's list",
                deadline=deadline,
                every=_LOOK_EVERY,
                slowest=_SLOWEST_LOOK,
            )
        except DeadlinePassed:
            raise BrokerRefused(
                f"the broker knows no image {name}, after a scan, too",
                hint="is the image active, and shared with the project that the center looks at?",
            ) from None

    def image_name(self, center: int, number: int) -> str | None:
        """The name of an image by the broker's number; None when it is in the list no more."""
        images = _images(self._read(center))
        return next((str(one["name"]) for one in images if one.get("id") == number and one.get("name")), None)

    def _is_meant(self, center: Mapping[str, Any]) -> bool:
        if self._name is not None:
            return center.get("name") == self._name
        return center.get("type") == _OPENSTACK[0] or center.get("flavor") == _OPENSTACK[1]

    def _settled(self, center: int) -> Mapping[str, Any] | None:
        """The center once it scans no more."""
        found = next((one for one in self._list() if one.get("id") == center), None)
        if found is None:
            raise BrokerRefused(f"the broker has no center {center} any more", hint="was it deleted meanwhile?")
        return None if found.get("status") == _SCANNING else found

    def _list(self) -> list[Mapping[str, Any]]:
        listed = self._api.get("/centers", doing="list the broker's centers")
        if not isinstance(listed, list):
            raise BrokerError("the broker's centers are no list", hint="is this the broker's REST interface?")
        return [one for one in listed if isinstance(one, Mapping)]

    def _read(self, center: int) -> Mapping[str, Any]:
        told = self._api.get(f"/centers/{center}", doing="read the broker's center")
        return told if isinstance(told, Mapping) else {}


def _images(center: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [image for image in center.get("images") or () if isinstance(image, Mapping)]


def _number_of(center: Mapping[str, Any], name: str) -> int | None:
    found = {image.get("id") for image in _images(center) if image.get("name") == name}
    if len(found) > 1:
        raise BrokerRefused(
            f"the broker has {len(found)} images of the name {name}",
            hint="names must be unique: rename or remove the others in the cloud, then scan",
        )
    number = found.pop() if found else None
    return number if isinstance(number, int) else None
