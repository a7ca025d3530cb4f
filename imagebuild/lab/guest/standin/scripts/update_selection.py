"""Which of the offered updates are taken, by the same rules and for the same reasons as update-search.ps1."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.catalogue import WINDOWS_7, Update
from imagebuild.lab.guest.standin.scripts.contract import Parameters, ScriptError

SELECTION = (
    "categories", "include_kb", "exclude_kb", "include_title_regex", "exclude_title_regex", "skip", "drivers", "previews", "optional",
    "definitions", "upgrades", "accept_eula", "max_updates",
)  # fmt: skip
CLASSIFICATIONS = {
    "securityupdates": "0fa1201d-4330-4fa8-8ae9-b877473b6441", "criticalupdates": "e6cf1350-c01b-414d-a61f-263d14d133b4",
    "updaterollups": "28bc880e-0592-4cbf-8f95-c79b17911d5f", "updates": "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83",
    "definitionupdates": "e0789628-ce08-4437-be74-2495b842f43b", "featurepacks": "b54e7d24-7add-428f-8b75-90a396fa584f",
    "servicepacks": "68c5b0a3-d1a6-4553-ae49-01d3a7827828", "tools": "b4832bd8-e735-4761-8daf-37f882276dab",
    "applications": "5c9376ab-8ce6-464a-b136-22113dd69801", "drivers": "ebfc1fc5-71a4-4f7b-9aca-3b9a503104a0",
    "upgrades": "3689bdc8-b205-4af4-8d4a-a63924c5e9d5",
}  # fmt: skip
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
PREVIEW = re.compile("Preview|\ubbf8\ub9ac ?\ubcf4\uae30|\u30d7\u30ec\u30d3\u30e5\u30fc|Vorschau", re.IGNORECASE)


class Rules(NamedTuple):
    """What the caller wants, read and checked before the first search."""

    include_kb: frozenset[str]
    exclude_kb: frozenset[str]
    categories: frozenset[str]
    include_title: tuple[re.Pattern[str], ...]
    exclude_title: tuple[re.Pattern[str], ...]
    skip: frozenset[str]
    previews: bool
    optional: bool
    max_updates: int


def read_rules(parameters: Parameters) -> Rules:
    """Read and check every parameter of the selection; ScriptError for the first that is wrong."""
    return Rules(
        include_kb=frozenset(_kb_number(one) for one in parameters.texts("include_kb")),
        exclude_kb=frozenset(_kb_number(one) for one in parameters.texts("exclude_kb")),
        categories=frozenset(_category(one) for one in parameters.texts("categories")),
        include_title=tuple(_pattern("include_title_regex", one) for one in parameters.texts("include_title_regex")),
        exclude_title=tuple(_pattern("exclude_title_regex", one) for one in parameters.texts("exclude_title_regex")),
        skip=frozenset(one.lower() for one in parameters.texts("skip")),
        previews=parameters.flag("previews", default=False),
        optional=parameters.flag("optional", default=False),
        max_updates=parameters.number("max_updates", 0),
    )


def _kb_number(text: str) -> str:
    found = re.match(r"\s*(?:KB)?([0-9]{5,8})\s*\Z", text, re.IGNORECASE)
    if found is None:
        raise ScriptError(f"'{text}' is not a KB number; write KB5034441 or 5034441")
    return found[1]


def _category(name: str) -> str:
    key = re.sub(r"[ {}]", "", name.lower())
    if GUID.match(key):
        return key
    if key not in CLASSIFICATIONS:
        raise ScriptError(f"category '{name}' is neither a GUID nor one of: {', '.join(sorted(CLASSIFICATIONS))}")
    return CLASSIFICATIONS[key]


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ScriptError(f"{name} is not a regular expression: {text}") from error


def facts_of(update: Update, state: str | None) -> dict[str, Any]:
    """An offer as ConvertFrom-Update describes it."""
    return {
        "readable": True, "id": update.id, "revision": 200, "kb": [update.kb], "title": update.title, "size_bytes": update.size_bytes,
        "categories": [update.category, WINDOWS_7], "severity": update.severity,
        "reboot_behaviour": "always" if update.reboots else "never", "exclusive": update.exclusive, "can_request_user_input": False,
        "eula_accepted": True, "is_downloaded": state == "downloaded", "is_driver": False, "browse_only": update.browse_only,
    }  # fmt: skip


def select(updates: list[dict[str, Any]], rules: Rules) -> list[dict[str, Any]]:
    """The facts again, each with `selected` and, where it is not taken, the `reason`."""
    chosen = []
    count = 0
    for facts in updates:
        reason = _refusal(facts, rules)
        if reason is None and 0 < rules.max_updates <= count:
            reason = "over_limit"
        count += reason is None
        chosen.append(facts | {"reason": reason, "selected": reason is None})
    return chosen


def _refusal(facts: dict[str, Any], rules: Rules) -> str | None:
    numbers, title = set(facts["kb"]), facts["title"]
    named = bool(numbers & rules.include_kb)
    matched = any(pattern.search(title) for pattern in rules.include_title)
    checks = (
        ("failed_before", facts["id"] in rules.skip),
        ("excluded_kb", bool(numbers & rules.exclude_kb)),
        ("excluded_title", any(pattern.search(title) for pattern in rules.exclude_title)),
        ("not_included", bool(rules.include_kb or rules.include_title) and not named and not matched),
        ("preview", not named and not rules.previews and PREVIEW.search(title) is not None),
        ("optional", not named and not rules.optional and facts["browse_only"]),
        ("other_category", not named and bool(rules.categories) and not rules.categories & set(facts["categories"])),
    )
    return next((reason for reason, applies in checks if applies), None)
