"""Secrets: values that print as ***, references to where one is kept, and the filter for every line we write."""

import hashlib
import hmac
import json
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import RecipeError

_known: dict[str, str] = {}
"""The values of this process, each with what it is within a JSON string."""


@dataclass(frozen=True)
class Secret:
    """A value that never prints itself. `reveal()` is the one way to it, so every use can be found by name."""

    _value: str

    def __post_init__(self) -> None:
        if len(self._value) >= 4:  # shorter ones would turn half of a log into stars
            _known[self._value] = json.dumps(self._value)[1:-1]

    def reveal(self) -> str:
        """The value itself. Never log or format what this returns."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def hide(text: str) -> str:
    """The text with every secret of this process replaced by ***, also where JSON has escaped it."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, "***").replace(_known[value], "***")
    return text


def make_password(length: int = 20) -> Secret:
    """A random password for Windows' complexity rule: all four classes, a letter first, nothing that a shell or XML reads."""
    classes = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "-_.+")
    alphabet = "".join(classes)
    while True:
        text = "".join(secrets.choice(alphabet) for _ in range(length))
        if text[0].isalpha() and all(any(c in group for c in text) for group in classes):
            return Secret(text)


def derive_password(secret: Secret, purpose: str) -> Secret:
    """Another password that follows from this one: who is cut off and begins again asks for the same thing with the same password."""
    digest = hmac.new(secret.reveal().encode(), purpose.encode(), hashlib.sha256).hexdigest()
    return Secret(f"Aa1-{digest[:28]}")  # all four classes of Windows' complexity rule


def read_secret(reference: str) -> Secret:
    """The secret behind `env:NAME` or `file:PATH` (its first line). Plain values are refused: recipes are kept in git."""
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        value = os.environ.get(place)
        if not value:
            raise RecipeError(f"the environment variable {place} is not set", hint=f"export {place}=... and run again")
        return Secret(value)
    if kind == "file" and place:
        try:
            lines = Path(place).expanduser().read_text(encoding="utf-8").splitlines()
        except OSError as error:
            words = f"the secret file {place} cannot be read: {error.strerror}"
            raise RecipeError(words, hint="check its path and rights") from error
        except UnicodeDecodeError:  # whose own text and object would carry the secret along
            raise RecipeError(f"the secret file {place} cannot be read: not UTF-8", hint="save it as UTF-8") from None
        if not lines or not lines[0]:
            raise RecipeError(f"the secret file {place} is empty", hint="its first line is the secret")
        return Secret(lines[0])
    raise RecipeError("a secret must be given as env:NAME or file:PATH", hint="plain secrets are refused in recipes")
