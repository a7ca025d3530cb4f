"""Requests and answers held against interface.json with a JSON Schema validator: of the tool, and of what stands in for it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

INTERFACE: dict[str, Any] = json.loads((Path(__file__).parent / "interface.json").read_text(encoding="utf-8"))
BASE = INTERFACE["servers"][0]["url"]
_NAME = "urn:leostream"
_JSON = "application/json"


def check_request(method: str, path: str, body: Any = None) -> None:
    """Raise AssertionError unless the interface has such a call, and takes such a body."""
    template = find_template(method, path)
    call = INTERFACE["paths"][template][method.lower()]
    if "requestBody" not in call:
        assert body is None, f"{method} {path} takes no body"
        return
    assert body is not None, f"{method} {path} needs a body"
    _check(
        body, "paths", template, method.lower(), "requestBody", "content", _JSON, "schema", saying=f"{method} {path}"
    )


def check_answer(method: str, path: str, status: int, body: Any = None) -> None:
    """Raise AssertionError unless the interface has this status for this call, and such a body."""
    template = find_template(method, path)
    answers = INTERFACE["paths"][template][method.lower()]["responses"]
    assert str(status) in answers, f"{method} {path} never answers {status}"
    answer, place = answers[str(status)], ("paths", template, method.lower(), "responses", str(status))
    if "$ref" in answer:
        place = tuple(answer["$ref"].removeprefix("#/").split("/"))
        answer = INTERFACE["components"]["responses"][place[-1]]
    if "content" in answer:
        _check(body, *place, "content", _JSON, "schema", saying=f"{status} of {method} {path}")


def find_template(method: str, path: str) -> str:
    """'/pools/{id}' for '/rest/v1/pools/7?x=1'."""
    path = path.partition("?")[0].removeprefix(BASE)
    for template, calls in INTERFACE["paths"].items():
        if method.lower() in calls and re.fullmatch(re.sub(r"\\{\w+\\}", r"\\d+", re.escape(template)), path):
            return str(template)
    raise AssertionError(f"the interface has no {method} {path}")


def _check(told: Any, *place: str, saying: str) -> None:
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place)
    wrong = [f"{saying}: {error.json_path}: {error.message}" for error in _validator(pointer).iter_errors(told)]
    assert not wrong, "\n".join(wrong)


@cache
def _validator(pointer: str) -> Draft202012Validator:
    registry: Registry[Any] = Registry().with_resource(_NAME, Resource(INTERFACE, DRAFT202012))
    return Draft202012Validator({"$ref": f"{_NAME}#/{pointer}"}, registry=registry)
