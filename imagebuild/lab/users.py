"""Simulated users at work in the lab's pools, for a person: switch them on and off, and read what they had to bear."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagebuild.errors import LabError
from imagebuild.lab.broker.portal_client import PortalClient, PortalRefused
from imagebuild.lab.broker_settings import URL
from imagebuild.lab.credentials import broker_access
from imagebuild.lab.layout import Layout
from imagebuild.report import Report


def set_users(place: Layout, pool: str, report: Report, *, count: int | None, seed: int) -> None:
    """Let `count` users work in the pool, instead of those before; 0 sends them home, None only looks.

    With each new number the verdict begins anew. Raises LabError.
    """
    try:
        portal = PortalClient(URL, ca_file=broker_access(place) / "ca.pem")
        if count is not None:
            portal.reset_verdict()
            portal.set_crowd(pool, count, seed=seed)
        crowd, verdict = portal.crowd().get(pool), portal.verdict()
    except PortalRefused as error:
        raise LabError(
            f"the lab's broker refuses: {error}", hint="`lab` is the pool that it has from the start"
        ) from error
    except OSError as error:
        raise LabError(f"the lab's broker does not answer at {URL}: {error}", hint="invoke lab.up") from error
    report.say("\n".join(as_lines(pool, crowd, verdict)), pool=pool, crowd=crowd, verdict=verdict)


def as_lines(pool: str, crowd: Mapping[str, Any] | None, verdict: Mapping[str, Any]) -> Iterator[str]:
    """Who is at work in the pool; the broker's verdict over all pools; its last incidents."""
    at_work = "no simulated users"
    if crowd:
        at_work = f"{crowd['users']} user{'s' * (crowd['users'] != 1)} at work, seed {crowd['seed']}"
    yield f"{pool}: {at_work}"
    yield "  logins {logins}   logouts {logouts}   sessions cut {sessions_cut}   logins refused {logins_refused}".format(
        **verdict
    )
    for one in verdict["incidents"][-10:]:
        yield f"  {one['at'][11:19]} {one['user']}: {one['what'].replace('_', ' ')} at {one['place']}: {one['why']}"
