"""What a Leostream broker answered, as one of our errors: what was tried, what came back, what to do next. Secrets in it are hidden."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from imagebuild.errors import BrokerError, BrokerRefused, BrokerUnreachable, DeadlinePassed
from imagebuild.secrets import Secret, hide

_SECRET = re.compile(r"password|passwd|secret|token", re.IGNORECASE)
_MASK = re.compile(r"\**")
_HINTS = {
    "INVALID_CREDENTIALS": "check user, password and domain in the pool's `broker:` section",
    "INSUFFICIENT_PERMISSIONS": "the role of this user needs API access, and the right to edit pools and scan centers",
    "LICENSE_EXPIRED": "the broker's licence has ended: its operator renews it",
    "UNAUTHORIZED": "the broker did not take the session that it had just given: its log says why",
    "BAD_ID": "the object was deleted meanwhile, or never was: run again",
    "CONFLICT": "the broker is busy with this object: run again later",
}
_OTHER = "the broker did not take the request as it is; the words above say which part"


@dataclass(frozen=True)
class Answer:
    """One answer: status, headers and the raw body."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def retry_after(self) -> float:
        """Seconds that the broker asks to wait; its date form, and anything else that is no number, count as 0."""
        try:
            return max(0.0, float(self.headers.get("Retry-After", "")))
        except ValueError:
            return 0.0

    def json(self, doing: str) -> Any:
        """The body as an object, its secrets known from now on, so that no line ever prints them; None for no body.

        A GET of a pool can hold the password that new desktops get. Raises BrokerError when it is no JSON.
        """
        if not self.content:
            return None
        try:
            told = json.loads(self.content)
        except ValueError:
            raise BrokerError(
                f"could not {doing}: the answer is no JSON", hint="is this the broker's REST interface, and no proxy?"
            ) from None
        learn_secrets(told)
        return told


def learn_secrets(told: Any) -> None:
    """Let every value of an answer that goes by the name of a secret be hidden from now on."""
    if isinstance(told, Mapping):
        for name, value in told.items():
            if isinstance(value, str) and _SECRET.search(str(name)) and not _MASK.fullmatch(value):
                Secret(value)  # its making registers it
            else:
                learn_secrets(value)
    elif isinstance(told, list):
        for value in told:
            learn_secrets(value)


def make_error(doing: str, answer: Answer) -> BrokerError:
    """The error for an answer that is no success. `doing` reads on from "could not": "read the pool 'staff'"."""
    status, words, details = _read_words(answer)
    message = f"could not {doing}: {answer.status} {words}".rstrip()
    if 300 <= answer.status < 400:
        return BrokerRefused(message, hint="it sends us elsewhere: give the address it really has as `url`")
    if answer.status == 404:
        return BrokerRefused(message, hint="was it deleted meanwhile, and may this user see it?")
    if answer.status >= 500:
        return BrokerUnreachable(message, hint="the broker's own log says why", details=details)
    if answer.status in (401, 403) and status not in _HINTS:
        status = "INVALID_CREDENTIALS" if answer.status == 401 else "INSUFFICIENT_PERMISSIONS"
    return BrokerRefused(message, hint=_HINTS.get(status, _OTHER), details=details)


def make_busy(doing: str, answer: Answer) -> BrokerUnreachable:
    """The error for a broker that is overloaded or being restarted."""
    _, words, _ = _read_words(answer)
    return BrokerUnreachable(
        f"could not {doing}: {answer.status} {words}".rstrip(), hint="the broker is busy or restarting: run again later"
    )


def make_unreachable(doing: str, error: Exception) -> BrokerError:
    """The error for a request without a whole answer; the library's own text is left out, as it may hold anything."""
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return BrokerRefused(
            f"could not {doing}: its certificate is not trusted",
            hint="give the PEM file of who signed it as `ca_file`; is the host in `url` the one in the certificate?",
        )
    words = "the connection broke"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        words = "no connection in time"
    elif isinstance(error, requests.exceptions.Timeout | DeadlinePassed):
        words = "no whole answer in time"
    return BrokerUnreachable(
        f"could not {doing}: {words}", hint="is the broker up, and is `url` right from this machine?"
    )


def _read_words(answer: Answer) -> tuple[str, str, tuple[str, ...]]:
    """error_status, error_message and a line for each field of the interface's error shapes."""
    try:
        told = json.loads(answer.content)
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        return "", "", ()
    learn_secrets(told)
    status = str(told.get("error_status") or "")
    lines = [f"{_place(one)}: {_text(one)}" for one in told.get("errors") or () if isinstance(one, Mapping)]
    lines += [f"missing: {name}" for name in told.get("missing_fields") or ()]
    words = " ".join(part for part in (status, str(told.get("error_message") or told.get("message") or "")) if part)
    return status, hide(words), tuple(map(hide, lines))


def _place(error: Mapping[str, Any]) -> str:
    return str(error.get("path") or error.get("error_field") or "?")


def _text(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("error_text") or "?")
