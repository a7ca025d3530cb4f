"""The house rules as tests: linters, types, import floors, sizes, docstrings, names, recipes, templates and what README promises."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagebuild.steps  # noqa: F401  registers every step
import tasks
from imagebuild.answers import render_answer_file, render_cloudbase_configuration
from imagebuild.recipe import find_recipe, load_recipe, recipe_names
from imagebuild.secrets import Secret
from imagebuild.step import registered_steps

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "imagebuild"
TOOLS = Path(sys.executable).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
RECIPES = recipe_names(PROJECT / "recipes")
LONGEST_MODULE = 300
LONGEST_FUNCTION = 50
EMPTY_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "managers",
    "manager",
    "handlers",
    "base",
    "common",
    "data",
    "info",
}
MAY_SLEEP = (
    "waiting.py",
    "lab/guest/",
    "lab/services/",
)  # the guest and the services run on their own, without waiting.py
# Written in two halves, so that this file is not what it looks for.
REGISTRIES = [
    f"{name}.{end}"
    for name, end in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("golang", "org"),
        ("docker", "io"),
        ("rubygems", "org"),
    )
]
MACHINES = ["/" + "work/", "/tmp/" + "brief", "/" + "home/"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_the_linters_are_content(command: list[str]) -> None:
    done = run(TOOLS / command[0], *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def tracked() -> list[Path]:
    """What is in the repository and is text."""
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-z")
    assert listed.returncode == 0, listed.stderr
    return [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).is_file()]


def test_nothing_of_a_developers_machine_and_no_registry_is_named() -> None:
    places = "|".join(map(re.escape, MACHINES))
    words = re.compile("|".join(map(re.escape, REGISTRIES)) + rf"|(?<![\w}}])({places})")  # an absolute path
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if words.search(line)
    ]
    assert not found, "\n".join(found)


def parsed() -> Iterator[tuple[str, str, ast.Module]]:
    """Name below the package, text and syntax tree of every module."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(PACKAGE).as_posix(), text, ast.parse(text)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def test_modules_and_functions_stay_small() -> None:
    long = [
        f"{name}: {len(text.splitlines())} lines"
        for name, text, _ in parsed()
        if len(text.splitlines()) > LONGEST_MODULE
    ]
    for name, _, tree in parsed():
        for function in functions(tree):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > LONGEST_FUNCTION:
                long.append(f"{name}:{function.lineno}: {function.name} has {lines} lines")
    assert not long, "\n".join(long)


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions, classes, and their public methods."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


def test_every_module_and_everything_public_says_what_it_is() -> None:
    silent = [name for name, text, tree in parsed() if text.strip() and not ast.get_docstring(tree)]
    silent += [
        f"{name}:{node.lineno}: {word}"
        for name, _, tree in parsed()
        for word, node in public(tree.body)
        if not ast.get_docstring(node)
    ]
    assert not silent, "\n".join(silent)


def test_nobody_sleeps_but_the_one_who_waits() -> None:
    sleepers = [
        f"{name}:{node.lineno}"
        for name, _, tree in parsed()
        if not name.startswith(MAY_SLEEP)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "sleep" and ast.unparse(node.value) == "time")
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {n.name for n in node.names})
    ]
    assert not sleepers, "\n".join(sleepers)


def test_names_say_something() -> None:
    assert [name for name, _, _ in parsed() if set(Path(name).with_suffix("").parts) & EMPTY_NAMES] == []


@pytest.mark.parametrize("place", ["lab/guest/standin/", "lab/broker/"])
def test_the_stand_ins_need_nothing_but_python(place: str) -> None:
    """They run where nothing else is installed."""
    own = f"imagebuild.{place.replace('/', '.')[:-1]}"
    foreign = [
        f"{name}: {module}"
        for name, _, tree in parsed()
        if name.startswith(place)
        for node in ast.walk(tree)
        for module in imported(node)
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith(own)
    ]
    assert not foreign, "\n".join(foreign)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return names if node.module == "imagebuild.lab.guest" else [node.module or ""]
    return []


def test_there_are_recipes() -> None:
    assert "win7-vdi" in RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_loads_and_renders_every_template(name: str) -> None:
    recipe = load_recipe(find_recipe(name, folder=PROJECT / "recipes"))
    settings = recipe.header.windows
    answer_file = render_answer_file(PROJECT / "unattend", settings=settings, password=Secret("First-password.1"))
    assert settings.locale in answer_file
    rendered = render_cloudbase_configuration(PROJECT / "unattend", settings=settings)
    assert f"username={settings.admin_user}" in rendered.configuration
    assert f"username={settings.admin_user}" in rendered.unattend_configuration


@pytest.mark.parametrize("name", sorted(registered_steps()))
def test_every_step_has_its_test(name: str) -> None:
    assert (PROJECT / "tests" / "steps" / f"test_{name.replace('-', '_')}.py").is_file()


def readme_blocks() -> list[str]:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_first_two_commands_are_one_line_each_and_real() -> None:
    for block in readme_blocks()[:2]:
        assert len(block.strip().splitlines()) == 1
        words = block.split()
        assert words[:3] == ["python3", "-m", "imagebuild"]
        assert words[3] in tasks.namespace.task_names
    build, test = readme_blocks()[:2]
    assert build.split()[3] == "build"
    assert build.split()[4] in RECIPES
    assert test.split()[3] == "test"


def test_ci_calls_the_readmes_test_command() -> None:
    lines = (PROJECT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == f"exec {readme_blocks()[1].strip()}"
    assert (PROJECT / ".ci" / "run").stat().st_mode & 0o111
