"""How little a command loads before it does anything: a start is a part of every build's time, and of every `--if-changed`."""

import subprocess
import sys

import pytest

from tests.unit.examples import PROJECT

pytestmark = pytest.mark.effects

HEAVY = (
    "imagebuild.jobs.checking",
    "imagebuild.jobs.pool_making",
    "imagebuild.jobs.pools",
    "imagebuild.jobs.releasing",
    "imagebuild.jobs.verifying",
    "imagebuild.jobs.version_changes",
    "imagebuild.lab.lifecycle",
    "jinja2",
    "junitparser",
    "openstack.compute",
    "openstack.connection",
    "spnego",
    "websockets",
    "winrm",
)


def run(code: str) -> list[str]:
    """The lines that this code prints in a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_what_few_commands_need_is_not_loaded_by_all() -> None:
    loaded = set(run("import sys, tasks; print(*sys.modules, sep=chr(10))"))
    assert "imagebuild.adapters.openstack_cloud" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_what_is_loaded_is_not_looked_through_for_garbage_and_what_comes_later_is() -> None:
    looks = "gc.get_stats()[2]['collections']"
    code = f"import gc, invoke; before = {looks}; import tasks; print({looks} - before, gc.isenabled(), gc.get_freeze_count() > 10000)"
    assert run(code) == ["0 True True"]


def test_a_task_loads_its_job() -> None:
    code = "from imagebuild.front import pools; import sys; print(pools.pools.roll.__module__, 'imagebuild.jobs.pools' in sys.modules)"
    assert run(code) == ["imagebuild.jobs.pools True"]


def test_the_sdk_is_whole_for_who_asks_for_it_afterwards() -> None:
    code = "import tasks, openstack.connection as it; print(it.__file__ is not None, it.Connection is not object)"
    assert run(code) == ["True True"]


def test_the_sdk_that_somebody_has_loaded_whole_stays_whole() -> None:
    code = "import openstack, tasks; print(openstack.connection.Connection is not object)"
    assert run(code) == ["True"]
