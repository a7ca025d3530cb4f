"""Write-Membership: the one line that a task tells at every start. Nothing here changes between two looks, so one look is enough."""

from __future__ import annotations

from imagebuild.lab.guest.standin.scripts.session import Session


def tell_membership(session: Session, arguments: str) -> int:
    """Play the script; `arguments` is the serial port. It always ends with 0."""
    del arguments  # the stand-in has one
    guest = session.guest
    trust = "ok" if guest.domain.is_trusted else "broken"
    where = "domain=-" if guest.domain.name is None else f"domain={guest.domain.name} trust={trust}"
    guest.machine.console(f"imagebuild: member name={guest.identity.computer_name()} {where}")
    return 0
