"""What an OpenStack service answered, as one of our errors: what was tried, on what, what came back, what to do next."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebuild.errors import CloudError, CloudRefused, CloudUnreachable, NotFound
from imagebuild.secrets import hide

_LONGEST_WORDS = 400
_TAG = re.compile(r"<[^>]*>")
_QUOTA = re.compile(r"quota|limit exceeded|LimitExceeded|OverQuota|OverLimit", re.IGNORECASE)
_REQUEST_ID_HEADERS = ("x-openstack-request-id", "x-compute-request-id")
_BUSY = frozenset({429, 502, 503, 504})


class ServiceMissing(CloudError):
    """The cloud's catalogue has no such service (a cloud without block storage is a cloud, too)."""


class VersionMissing(CloudError):
    """The service is older than the microversion that was asked for."""


class AnswerLost(CloudUnreachable):
    """Nobody can tell whether the cloud did it. `retry_after`: seconds that the service asked us to wait, 0 when it did not say."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 0.0, refused: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.surely_not_done = refused


class ServiceFailed(AnswerLost):
    """A 500, an error inside the service. It may pass, as when its database was away; one that does not pass is told soon."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer: status, headers with lower-case names, and the body as it came."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def is_cut(self) -> bool:
        """Whether it says that it is JSON and its end is missing: a connection that broke before a body of unknown length was whole."""
        return "json" in self.headers.get("content-type", "") and self._value() is None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; CloudError when it is none (a proxy's page)."""
        value = self._value()
        if not isinstance(value, dict):
            raise CloudError(
                f"the cloud answered {self.status} with something that is not a JSON object",
                hint="is there a proxy or a login page between here and the cloud?",
                details=(read_words(self.text),),
            )
        return value

    def _value(self) -> object:
        try:
            return json.loads(self.text) if self.text.strip() else {}
        except ValueError:
            return None


def read_words(text: str) -> str:
    """The sentence in an error body, secrets hidden: every service wraps it differently, proxies send HTML."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    found = _find_message(body) if isinstance(body, dict) else None
    plain = found or html.unescape(_TAG.sub(" ", text))
    # Hidden before it is cut: services quote a rejected request body back, and half a password is still a secret.
    return re.sub(r"\s+", " ", hide(plain)).strip()[:_LONGEST_WORDS]


def _find_message(body: Mapping[str, Any]) -> str | None:
    for value in (body, *body.values()):
        if isinstance(value, dict):
            message = value.get("message") or value.get("faultstring")
            if isinstance(message, str) and message:
                return message
    return next((value for value in body.values() if isinstance(value, str) and value), None)


def read_retry_after(answer: Answer) -> float:
    """Seconds of a Retry-After header; its date form, and anything else that is no number, count as 0."""
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return 0.0


def make_error(doing: str, answer: Answer) -> CloudError:
    """The error for an HTTP answer of 400 or more. `doing` reads on from "could not": "create the server 'builder'"."""
    words = read_words(answer.text)
    request = next((answer.headers[name] for name in _REQUEST_ID_HEADERS if answer.headers.get(name)), "")
    came_back = f"{answer.status} {words}".strip() + (f" ({request})" if request else "")
    message = f"could not {doing}: {came_back}"
    status = answer.status
    if status in _BUSY:
        return AnswerLost(
            message,
            hint="the service is overloaded or being restarted: run the same command again later",
            retry_after=read_retry_after(answer),
            refused=status == 429,
        )
    if status >= 500:
        kind = ServiceFailed if status == 500 else CloudUnreachable
        return kind(message, hint=f"the operator finds the cause in the service's log{_by(request)}")
    if status == 406:
        return VersionMissing(message, hint="this cloud is older than that needs")
    if status == 404:
        return NotFound(message, hint="does it exist, and may this project see it?")
    if status == 401:
        return CloudRefused(message, hint="check user, password and project of this cloud in clouds.yaml")
    if status in (403, 409, 413) and _QUOTA.search(words):
        return CloudRefused(message, hint="free something in the project or ask the operator for a larger quota")
    if status == 413:
        return CloudRefused(message, hint="larger than the cloud takes: ask the operator for the limit")
    if status == 403:
        return CloudRefused(message, hint="this user's role does not allow it, or the thing is protected or locked")
    if status == 409:
        return CloudRefused(message, hint="it is in use or in a state that does not allow this: look at it, then again")
    return CloudError(message, hint="the cloud did not accept the request as it is; the words above say which part")


def _by(request: str) -> str:
    return f" by {request}" if request else ""
