"""The portal over HTTPS, for simulated users and for tests on the other side of the wire."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imagebuild.lab.broker.portal import BASE

SECONDS = 20.0


class PortalRefused(OSError):
    """The portal did not take the request."""


class PortalClient:
    """imagebuild.lab.broker.population.Portal over the wire; a connection for each call. Every call may raise OSError."""

    def __init__(self, url: str, *, ca_file: Path) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 443
        self._tls = ssl.create_default_context(cafile=str(ca_file))

    def log_in(self, user: str, pool: str) -> str | None:
        """The name of the desktop, or None when none is free."""
        status, told = self._ask("POST", "/login", {"user": user, "pool": pool}, also=409)
        return None if status == 409 else str(told["desktop"])

    def disconnect(self, user: str) -> bool:
        """False: there was no session any more."""
        return bool(self._ask("POST", "/disconnect", {"user": user})[1]["had_session"])

    def log_out(self, user: str) -> bool:
        """False: there was no session any more."""
        return bool(self._ask("POST", "/logout", {"user": user})[1]["had_session"])

    def sit_down(self, user: str, desktop: str) -> None:
        """Log in on this desktop around the broker."""
        self._ask("POST", "/login-around-the-broker", {"user": user, "desktop": desktop})

    def set_available(self, desktop: str, *, available: bool) -> None:
        """What an operator does in the broker's pages."""
        self._ask("POST", "/availability", {"desktop": desktop, "available": available})

    def forget_pool(self, pool: str) -> None:
        """Remove a pool, and its simulated users with it."""
        self._ask("POST", "/forget-pool", {"pool": pool})

    def set_crowd(self, pool: str, users: int, *, seed: int = 1, habits: Mapping[str, float] | None = None) -> None:
        """Let so many simulated users work in the pool, instead of those before; 0 sends them home."""
        self._ask("POST", "/crowd", {"pool": pool, "users": users, "seed": seed, "habits": dict(habits or {})})

    def crowd(self) -> dict[str, Any]:
        """By pool: its simulated users, and what they noticed."""
        return dict(self._ask("GET", "/crowd")[1])

    def trouble(self, **switches: Any) -> None:
        """Switch troubles on and off."""
        self._ask("POST", "/troubles", switches)

    def jobs(self) -> list[dict[str, Any]]:
        """Machines that the cloud refused to make or remove, and why."""
        return list(self._ask("GET", "/jobs")[1])

    def desktops(self) -> list[dict[str, Any]]:
        """Every record as it is now."""
        return list(self._ask("GET", "/desktops")[1])

    def verdict(self) -> dict[str, Any]:
        """What users had to bear."""
        return dict(self._ask("GET", "/verdict")[1])

    def reset_verdict(self) -> None:
        """Begin to count anew."""
        self._ask("DELETE", "/verdict")

    def _ask(self, method: str, path: str, body: Any = None, *, also: int = 200) -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._tls)
        try:
            connection.request(method, BASE + path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"the portal's answer broke off: {error!r}") from error
        finally:
            connection.close()
        if answer.status not in (200, also):
            raise PortalRefused(f"the portal says {answer.status} to {path}: {content.decode(errors='replace')[:200]}")
        return answer.status, json.loads(content)
