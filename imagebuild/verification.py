"""The proof of an image: clones of it are booted as desktops are, looked into, judged, and what came of it is written onto the image.

A failure blames the image only where it is the image's: a clone that the cloud cannot run, or a broker that does not answer, leaves
a verification without a result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from imagebuild import windows
from imagebuild.clone_checks import Check, judge
from imagebuild.cloud import Cloud, Flavor, Image, Network, Server, ServerRequest
from imagebuild.cloud_values import shortages
from imagebuild.errors import CloudRefused
from imagebuild.image_record import pack_fitting
from imagebuild.images import Version, find_version, list_versions, look_again, pick_current, reject
from imagebuild.properties import GENERALIZED, VERIFICATION, VERIFIED, VERIFIED_AT
from imagebuild.secrets import Secret
from imagebuild.sighting import Sighting, Wanted

WINRM_PORT, DESKTOP_PORT = 5986, 3389


@dataclass(frozen=True)
class Place:
    """Where clones are booted, and from which address range they let us in."""

    flavor: Flavor
    network: Network
    allow_from: str
    availability_zone: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What came of it. `usable_seconds`: of each clone that became a desktop, from creation until somebody could work with it."""

    outcome: Literal["passed", "failed", "inconclusive"]
    checks: tuple[Check, ...]
    clones: int
    usable_seconds: tuple[float, ...]
    at: str

    @property
    def failures(self) -> tuple[str, ...]:
        """The failed checks, a line each."""
        return tuple(f"{one.name} of {one.clone}: {one.words}" for one in self.checks if one.outcome == "failed")

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "outcome": self.outcome,
            "at": self.at,
            "clones": self.clones,
            "usable_seconds": self.usable_seconds,
            "checks": [check.as_json() for check in self.checks],
        }


def pick_version(cloud: Cloud, text: str) -> Version:
    """The version that is meant: a name or id; of a recipe its newest candidate, else its current one. Raises NotFound, VersionRefused."""
    every = list_versions(cloud, text)
    candidates = [one for one in every if one.state == "candidate"]
    return (candidates[-1] if candidates else pick_current(every, text)) or find_version(cloud, text)


def check_room(cloud: Cloud, flavor: Flavor, *, count: int) -> None:
    """Raises CloudRefused when the project's quota has no room for so many servers of the flavor."""
    short = shortages(cloud.headroom(volumes=False, network=False).for_servers(count, flavor))
    if short:
        raise CloudRefused(
            f"{count} clones do not fit into the quota: {'; '.join(short)}",
            hint="fewer --clones, or a smaller verify.flavor in the recipe",
        )


def boot_clones(
    cloud: Cloud, image: Image, place: Place, *, owner: str, count: int, password: Secret
) -> tuple[Server, ...]:
    """Ask for all clones at once: from the image by its own properties, with a config drive and the user data that lets us look.

    Their names are short (Windows takes 15 characters), and of this verification only. Find-or-create, by `owner`.
    """
    ports = [WINRM_PORT, DESKTOP_PORT]
    group = cloud.create_security_group(owner, owner=owner, allow_from=place.allow_from, ports=ports)
    time, digits = owner.split("-")[-2:]
    servers = []
    for number in range(1, count + 1):
        request = ServerRequest(
            name=f"vfy{time}{digits}-{number}",
            image_id=image.id,
            flavor_id=place.flavor.id,
            network_id=place.network.id,
            security_groups=(group.name,),
            user_data=windows.user_data(),
            admin_password=password,
            availability_zone=place.availability_zone,
        )
        servers.append(cloud.create_server(request, owner=owner, role=f"clone-{number}"))
    return tuple(servers)


def conclude(wanted: Wanted, seen: Sequence[Sighting]) -> Verdict:
    """What the sightings say of the image."""
    checks = judge(wanted, seen)
    failed = [check for check in checks if check.outcome == "failed"]
    outcome: Literal["passed", "failed", "inconclusive"] = "passed"
    if failed:
        outcome = "inconclusive" if all(check.outside for check in failed) else "failed"
    usable = tuple(check.seconds for check in checks if check.name == "usable" and check.outcome == "passed")
    return Verdict(outcome, checks, len(seen), usable, datetime.now(UTC).isoformat(timespec="seconds"))


def record_verdict(cloud: Cloud, version: Version, verdict: Verdict) -> Version:
    """Write it onto the image, and reject a candidate that failed; gives the version as it is then.

    Without a result nothing is written. Only a candidate is rejected: the current one serves desktops, and its fate is a person's.
    """
    image = look_again(cloud, version)
    if verdict.outcome != "inconclusive":
        packed, _ = pack_fitting(verdict.as_json(), least_useful=["checks"])
        told = {VERIFIED: verdict.outcome, VERIFIED_AT: verdict.at, VERIFICATION: packed}
        if verdict.outcome == "passed" and image.properties.get(GENERALIZED) == "unseen":
            told[GENERALIZED] = "yes"  # the build was cut off then; the clones have shown the seal
        image = cloud.update_image(image.id, properties=told)
    now = find_version(cloud, image.id)
    if verdict.outcome == "failed" and now.state == "candidate":
        reject(cloud, now, reason=f"verification failed: {'; '.join(verdict.failures)}"[:250])
        now = find_version(cloud, image.id)
    return now


def table(checks: Sequence[Check]) -> list[str]:
    """The checks for a person: a heading, and a line each."""
    name, clone = (max(len(getattr(one, part)) for one in checks) for part in ("name", "clone"))
    lines = [f"{'CHECK':{name}s}  {'CLONE':{clone}s}  RESULT"]
    words = {"passed": "passed", "failed": "FAILED", "not checked": "-"}
    return lines + [f"{one.name:{name}s}  {one.clone:{clone}s}  {words[one.outcome]:6s}  {one.words}" for one in checks]
