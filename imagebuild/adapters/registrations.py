"""The registrations of a broker that tells them as a JSON list over HTTP: objects with `name`, `address` and perhaps an identity."""

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from imagebuild.broker import Registration
from imagebuild.errors import BrokerError

_SECONDS = (5.0, 10.0)  # to connect, and for each piece of the answer
_IDENTITIES = ("identity", "sid_sha256")


class HttpRegistrations:
    """imagebuild.broker.Registrar over one address; TLS is verified. The environment's proxies are not for brokers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def registrations(self) -> Sequence[Registration]:
        """Ask for the list. What in it has no name or address is left out. Raises BrokerError."""
        try:
            answer = self._session.get(self._url, timeout=_SECONDS)
            answer.raise_for_status()
            told = answer.json()
        except requests.RequestException as error:
            raise BrokerError(
                f"the broker does not tell its registrations: {type(error).__name__}: {_reason(error)}",
                hint="does verify.registrations in the recipe name the right address?",
            ) from None
        if not isinstance(told, list):
            raise BrokerError(
                "the broker's registrations are no JSON list", hint="see verify.registrations in the recipe"
            )
        return tuple(_read(one) for one in told if isinstance(one, Mapping) and one.get("name") and one.get("address"))


def _read(told: Mapping[str, Any]) -> Registration:
    identity = next((str(told[key]) for key in _IDENTITIES if told.get(key)), None)
    return Registration(str(told["name"]), str(told["address"]), identity)


def _reason(error: requests.RequestException) -> str:
    """The reason without the address, which may hold a password."""
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    return {
        requests.exceptions.SSLError: "its certificate is not trusted",
        requests.exceptions.ConnectTimeout: "no connection in time",
        requests.exceptions.ReadTimeout: "no answer in time",
        requests.exceptions.JSONDecodeError: "its answer is no JSON",
    }.get(type(error), "no connection")
