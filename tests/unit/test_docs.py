"""What docs/, README and the package's own advice tell a person to type is what the tool takes, and the ready files are well-formed."""

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.exceptions import ParseError
from invoke.parser import Parser

import tasks
from imagebuild.recipe import recipe_names
from tests.unit.examples import PROJECT

DOCS = PROJECT / "docs"
FILES = sorted(path for path in DOCS.rglob("*") if path.is_file())
COMMAND = re.compile(r"(?<![\w.-])invoke ((?:--search-root \S+ )?[a-z][^\n`|>;)&]*)")
TASK = re.compile(r"(?<![\w`-])invoke ([a-z]+(?:\.[a-z-]+)*)\b")
KNOWN = set(tasks.namespace.task_names) | {"images", "builds"}  # collections, which stand for their task `list`
UNITS = ("imagebuild-rebuild.service", "imagebuild-rebuild.timer")


def commands(path: Path) -> list[str]:
    """Every `invoke ...` that the file tells somebody or something to run; in YAML also those that a playbook puts together."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    if path.name == "zuul.yaml":
        return [
            word
            for item in yaml.safe_load(text)
            for word in item.get("job", {}).get("vars", {}).get("imagebuild_commands", ())
        ]
    return [found for found in COMMAND.findall(text) if not found.startswith("{{")]


def parse(command: str) -> Any:
    """The task contexts that invoke's own parser makes of it. Raises ParseError."""
    words = shlex.split(re.sub(r"\$ARG\d\$", "1", command).strip().rstrip("."))
    words = words[2:] if words[0] == "--search-root" else words
    return Parser(contexts=tasks.namespace.to_contexts()).parse_argv(words)


COMMANDS = [(path, command) for path in FILES for command in commands(path)]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value.name
)
def test_every_command_is_one_that_the_tool_takes(path: Path, command: str) -> None:
    if path.suffix == ".md" and command.count(" ") == 0:  # the task is spoken of
        assert command in KNOWN
        return
    found = parse(command)
    named = found[0].args["recipe"].value if "recipe" in found[0].args else None
    for recipe in [named] if isinstance(named, str) else named or []:
        assert recipe in ("", "NAME") or recipe.startswith(("$", "1")) or recipe in recipe_names(PROJECT / "recipes")


def test_every_file_has_its_commands_and_a_wrong_one_would_be_found() -> None:
    assert {path.name for path, _ in COMMANDS} >= {
        "ci.md",
        "gitlab-ci.yml",
        "imagebuild-rebuild.service",
        "imagebuild.cron",
        "nagios.cfg",
        "zuul.yaml",
    }
    for wrong in ("rebuild --do", "rebild --due", "check --warning-days", "promote a b"):
        with pytest.raises(ParseError):
            parse(wrong)


def literals() -> Iterator[tuple[str, str]]:
    """Every text in the package, with its place."""
    for path in sorted((PROJECT / "imagebuild").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(PROJECT)}:{node.lineno}", node.value


def test_every_task_that_an_advice_names_exists() -> None:
    texts = [*literals(), ("README.md", (PROJECT / "README.md").read_text(encoding="utf-8"))]
    named = [(place, name) for place, text in texts for name in TASK.findall(text)]
    assert len(named) > 30
    assert [one for one in named if one[1] not in KNOWN] == []


def test_what_a_rebuild_starts_is_a_command_that_the_tool_takes() -> None:
    (build,) = parse("build win7-vdi --json --if-changed --promote --cloud vdi")
    assert all(build.args[name].value is True for name in ("json", "if-changed", "promote"))


def loaded(name: str) -> Any:
    return yaml.safe_load((DOCS / name).read_text(encoding="utf-8"))


def test_the_gitlab_pipeline_hangs_together() -> None:
    pipeline = loaded("gitlab-ci.yml")
    jobs = {name: job for name, job in pipeline.items() if isinstance(job, dict) and "stage" in job}
    assert [job["stage"] for job in jobs.values()] == pipeline["stages"]
    assert jobs["build"]["allow_failure"] == {"exit_codes": [4]}
    assert jobs["promote"]["rules"][0]["when"] == "manual"
    script = jobs["build"]["script"][-1]
    assert f"--junit {jobs['build']['artifacts']['reports']['junit']}" in script
    assert script.endswith(f"> {jobs['build']['artifacts']['paths'][0]}")
    assert "password" not in str(pipeline)


def test_the_zuul_jobs_run_a_playbook_that_is_there() -> None:
    items = loaded("zuul.yaml")
    jobs = {item["job"]["name"]: item["job"] for item in items if "job" in item}
    (project,) = [item["project"] for item in items if "project" in item]
    assert {name for part in project.values() for name in part["jobs"]} == set(jobs)
    assert (DOCS / jobs["imagebuild-plan"]["run"]).is_file()
    (play,) = loaded("playbooks/imagebuild.yaml")
    assert {"imagebuild_commands"} == set(jobs["imagebuild-rebuild"]["vars"])
    (credentials,) = [task for task in play["tasks"] if task.get("no_log")]
    assert credentials["ansible.builtin.copy"]["mode"] == "0600"


@pytest.mark.effects
def test_ansible_understands_the_playbook() -> None:
    tool = Path(sys.executable).parent / "ansible-playbook"
    command = [tool, "--syntax-check", "-i", "localhost,", DOCS / "playbooks" / "imagebuild.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_well_formed(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DOCS / name).read_text(encoding="utf-8"))
    assert unit["Unit"]["Description"]
    if name.endswith(".service"):
        assert unit["Service"]["SuccessExitStatus"].split() == ["3", "4"]
        assert unit["Service"]["KillMode"] == "mixed", "the run itself passes the wish to end on, once"


@pytest.mark.effects
def test_systemd_understands_the_units_where_there_is_one(tmp_path: Path) -> None:
    """With this project in place of the one that they name, because systemd looks for the program."""
    tools, verify = str(Path(sys.executable).parent), shutil.which("systemd-analyze")
    for name in UNITS:
        text = (DOCS / name).read_text(encoding="utf-8")
        assert name.endswith(".timer") or "/srv/imagebuild/.venv/bin/invoke" in text
        text = text.replace("/srv/imagebuild/.venv/bin", tools).replace("/srv/imagebuild", str(PROJECT))
        (tmp_path / name).write_text(text.replace("User=imagebuild\n", ""))
    if verify is None:  # a machine without systemd: the parts have been looked at above
        return
    command = [verify, "verify", "--man=no", *(tmp_path / name for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "imagebuild" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_the_cron_file_is_one_that_cron_takes() -> None:
    lines = [line for line in (DOCS / "imagebuild.cron").read_text().splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    assert {"MAILTO", "PATH", "OS_CLIENT_CONFIG_FILE"} <= settings.keys()
    jobs = [line.split(None, 6) for line in lines if not re.match(r"[A-Z_]+=", line)]
    assert len(jobs) + len(settings) == len(lines)
    for *times, user, command in jobs:
        assert len(times) == 5
        assert all(re.fullmatch(r"[\d*/,-]+", time) for time in times)
        assert (user, command.startswith("cd /srv/imagebuild && ")) == ("imagebuild", True)
        assert "%" not in command, "cron ends a command at a bare %"


def test_the_nagios_definitions_are_whole() -> None:
    text = (DOCS / "nagios.cfg").read_text()
    blocks = re.findall(r"^define (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    values = [(kind, dict(line.split(None, 1) for line in body.strip().splitlines())) for kind, body in blocks]
    commands = {block["command_name"]: block["command_line"] for kind, block in values if kind == "command"}
    services = [block["check_command"].split("!") for kind, block in values if kind == "service"]
    assert {name for name, *_ in services} == set(commands)
    for name, *given in services:
        wanted = set(re.findall(r"\$ARG(\d)\$", commands[name]))
        assert wanted == {str(number) for number in range(1, len(given) + 1)}


def test_the_page_names_every_file_and_every_exit_code() -> None:
    page = (DOCS / "ci.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)]+)\)", page))
    assert linked == {path.relative_to(DOCS).as_posix() for path in FILES if path.suffix != ".md"}
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "3", "4", "130"]
