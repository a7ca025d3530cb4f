"""What Python sends to a guest script and reads of its answer, held against the script's source and against real invocations."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import imagebuild
from imagebuild.windows import script_names
from tests.powershell.python_uses import Use, find_uses
from tests.powershell.script import Script

PACKAGE = Path(imagebuild.__file__).parent
EXAMPLES = Path(__file__).parents[1] / "standin" / "examples.jsonl"


@cache
def examples() -> tuple[dict[str, Any], ...]:
    """Real invocations of the scripts in a PowerShell, with functions that played Windows: parameters and result."""
    return tuple(json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines())


def parts(name: str) -> tuple[Script, ...]:
    """A script with all libraries that it loads."""
    script = Script.load(name)
    return (script, *map(Script.load, script.libraries))


def source(name: str) -> str:
    """The text of a script and its libraries."""
    return "\n".join(part.source.decode() for part in parts(name))


def reads(name: str, parameter: str) -> bool:
    """Whether the script or a library of it asks for a parameter of this name, directly or by a name from a list."""
    if any(parameter in part.read_parameters for part in parts(name)):
        return True
    by_list = re.search(r"Get-(Required|List)?Parameter \$\w+ (\$name|\(\$name \+ '_regex'\))", source(name))
    return by_list is not None and f"'{parameter.removesuffix('_regex')}'" in source(name)


def answers(name: str, key: str) -> bool:
    """Whether the script makes a result with this key: in a hash table, by assignment, or from a list of names."""
    return re.search(rf"(?<![\w$-]){key}\s*=[^=]|\.{key}\b|'{key}'", source(name)) is not None


ALL_USES = tuple(
    dict.fromkeys(  # a function inside a function is seen twice
        use
        for path in sorted(PACKAGE.rglob("*.py"))
        if "lab" not in path.relative_to(PACKAGE).parts  # the stand-in answers, it does not ask
        for use in find_uses(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE.parent).as_posix())
    )
)


@pytest.mark.parametrize("use", ALL_USES, ids=lambda use: use.place)
def test_python_calls_what_is_there_and_reads_what_it_answers(use: Use) -> None:
    assert use.script in script_names()
    assert [key for key in sorted(use.sent) if not reads(use.script, key)] == [], "sent, and never read"
    assert [key for key in sorted(use.read) if not answers(use.script, key)] == [], "read, and never answered"


def test_the_pipeline_uses_guest_scripts_at_all() -> None:
    assert len({use.script for use in ALL_USES}) >= 10
    assert any(use.sent for use in ALL_USES)
    assert any(use.read for use in ALL_USES)


def test_a_use_is_found_with_what_it_sends_and_reads() -> None:
    source = """
def work(guest):
    parameters: dict = {"media": "virtio-win"}
    parameters["skip"] = []
    done = guest.run_as_system("Install-VirtioDrivers", parameters, job="x")
    return done["complete"], done["drivers"][0]["name"]
"""
    sent, read = frozenset({"media", "skip"}), frozenset({"complete", "drivers"})
    assert list(find_uses(source, "here")) == [Use("here:5", "Install-VirtioDrivers", sent, read)]


def test_what_no_script_reads_or_answers_is_noticed() -> None:
    assert reads("Install-VirtioDrivers", "media")
    assert not reads("Install-VirtioDrivers", "medium")
    assert reads("Install-Updates", "exclude_title_regex")
    assert answers("Install-VirtioDrivers", "complete")
    assert not answers("Install-VirtioDrivers", "completed")


# Written since the examples were made: nothing of them was seen in a PowerShell yet.
NEVER_RUN = {"Get-GuestLogs", "Stop-Builder"}


@pytest.mark.parametrize("name", sorted(set(script_names()) - NEVER_RUN))
def test_examples_are_what_the_script_reads_and_answers(name: str) -> None:
    found = [example for example in examples() if example["script"] == name]
    assert found, "no real invocation of it is known"
    for example in found:
        result = example["result"]
        if result["ok"]:  # hostile ones send one set of parameters to several scripts, and are refused
            assert [key for key in example["parameters"] if not reads(name, key)] == [], example["test"]
        value = result["value"] if result["ok"] else result["error"]
        assert [key for key in value or {} if not answers(name, key)] == [], example["test"]


def test_the_inventory_answers_what_an_image_s_record_tells_of_settings() -> None:
    sections = ("desktop", "remote_desktop", "time_source", "broker_settings")
    fields = ("name", "holds", "enabled", "nla", "members", "type", "servers", "service", "value")
    assert [key for key in (*sections, *fields) if not answers("Get-Inventory", key)] == []


def test_examples_are_of_no_other_scripts() -> None:
    assert {example["script"] for example in examples()} <= set(script_names()) - NEVER_RUN
