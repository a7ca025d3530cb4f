"""What a model has to say against a file, in words for whoever wrote the file. A value that was given is not repeated: it may be a secret.

All words are the end of a sentence that begins with the place: `roll.settle: must be ...`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

COMPLAINT = "complaint"

_SECTION = "must be keys with their values, each in a line below it, indented"
_TEXT = "must be a text; in quotes, where YAML takes it for something else"
_NUMBER, _WHOLE, _SWITCH = "must be a number", "must be a whole number", "must be true or false"
_WORDS: Mapping[str, str] = {
    "bool_parsing": _SWITCH,
    "bool_type": _SWITCH,
    "dict_type": _SECTION,
    "finite_number": "must be a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be a list, also of one: {listed}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "model_attributes_type": _SECTION,
    "model_type": _SECTION,
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": _TEXT,
    "too_short": "must not be empty",
    "tuple_type": "must be a list, also of one: {listed}",
}


def _no_switch(value: Any) -> Any:
    """In Python `true`, in YAML also written `yes` and `on`, would be the number 1."""
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


Whole = Annotated[int, BeforeValidator(_no_switch)]
Number = Annotated[float, BeforeValidator(_no_switch)]


def complaint(words: str, *keys: str) -> PydanticCustomError:
    """What a section's check raises: the words stand at the first of these keys that the file has, in place of the whole section."""
    return PydanticCustomError(COMPLAINT, "{words}", {"words": words, "keys": keys})


def written(pattern: str, words: str) -> AfterValidator:
    """For Annotated[str, ...]: all of the text has this form, else it is refused with these words. Nobody is told a regular expression."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def in_words(item: ErrorDetails, *, given: Any = ...) -> str:
    """One of pydantic's complaints; `given` is what the file has in that place."""
    if given is None:
        return "is empty: fill it in, or leave it out for the default"
    if item["type"] not in _WORDS:
        return item["msg"].removeprefix("Value error, ")
    one_word = isinstance(given, str | int) and re.fullmatch(r"\S+", str(given))
    words = _WORDS[item["type"]].format(**item.get("ctx", {}), listed=f"[{given}]" if one_word else "[ONE, ANOTHER]")
    return f"is no key for this place: a key {words}" if item["loc"][-1:] == ("[key]",) else words


def causes(items: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """The complaints without those that only follow from another one: a list is also too short when what it has is wrong."""
    places = {item["loc"][:length] for item in items for length in range(len(item["loc"]))}
    return (item for item in items if item["loc"] not in places)


def kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of: itself, or what is in its list, tuple or union."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from kinds(part)
