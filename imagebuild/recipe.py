"""A recipe file becomes a checked value, or a list of everything that is wrong with it, each with file, line and path.

Nothing here asks a cloud: a recipe is right or wrong by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuild.checked_yaml import Place, Problem, file_names, find_file, nearest, read_document, validated
from imagebuild.recipe_header import Header
from imagebuild.step import Step, registered_steps


@dataclass(frozen=True)
class Recipe:
    """A recipe that is right: its head and its steps in order."""

    path: Path
    header: Header
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The line of versions its images stand in."""
        return self.header.recipe

    @property
    def file_name(self) -> str:
        """What a person calls it, as in `invoke build FILE_NAME`: several recipes may add to one line of versions."""
        return self.path.stem


def recipe_names(folder: Path) -> tuple[str, ...]:
    """The recipes of a folder by name."""
    return file_names(folder)


def find_recipe(name: str, *, folder: Path) -> Path:
    """The file of a recipe: a name in the folder, or a path. Raises RecipeError with the nearest names."""
    return find_file(name, folder=folder, kind="recipe")


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file. Raises RecipeError whose `details` name every problem as FILE:LINE: PATH: what, what to do."""
    document = read_document(path, kind="recipe")
    problems = list(document.problems)
    recipe = _check(path, document.content, problems)
    if problems or recipe is None:
        raise document.refusal(problems)
    return recipe


def _check(path: Path, content: Mapping[str, Any], problems: list[Problem]) -> Recipe | None:
    header = validated(Header, {k: v for k, v in content.items() if k != "steps"}, (), problems)
    named = list(_named_steps(content.get("steps"), problems))
    problems += _order([(number, kind) for number, kind, _ in named])
    steps = [(n, validated(kind, given, ("steps", n, kind.name), problems)) for n, kind, given in named]
    sound = [(number, step) for number, step in steps if isinstance(step, Step)]
    if isinstance(header, Header):
        for number, step in sound:
            problems += [Problem(("steps", number), text) for text in step.check(header)]
        problems += _misnamed(path, header)
    if problems or not isinstance(header, Header):
        return None
    return Recipe(path, header, tuple(step for _, step in sound))


def _misnamed(path: Path, header: Header) -> Iterator[Problem]:
    """A copied recipe must not go on with the line of versions of the one it was copied from, unless it says that it does."""
    line = header.recipe
    if path.stem == line or (header.source.recipe == line and path.stem.startswith(f"{line}-")):
        return
    words = f"is {line!r}, but the file is called {path.name}: make them the same"
    if header.source.recipe == line:
        words = f"is {line!r}: a recipe that changes that line is called {line}-SOMETHING.yaml, not {path.name}"
    yield Problem(("recipe",), words)


def _named_steps(content: Any, problems: list[Problem]) -> Iterator[tuple[int, type[Step], Any]]:
    """Each step that exists: its place in the list, its kind, its parameters as they were given."""
    if not isinstance(content, list) or not content:
        problems.append(Problem(("steps",), "is a list of steps in their order"))
        return
    known = registered_steps()
    for number, item in enumerate(content):
        place: Place = ("steps", number)
        if isinstance(item, str):
            item = {item: {}}
        if not isinstance(item, dict) or len(item) != 1:
            problems.append(
                Problem(place, "a step is its name, or its name with parameters: `- updates: {source: default}`")
            )
            continue
        name, parameters = next(iter(item.items()))
        if name not in known:
            problems.append(Problem((*place, name), f"there is no such step{nearest(name, known)}"))
            continue
        yield number, known[name], {} if parameters is None else parameters


def _order(steps: list[tuple[int, type[Step]]]) -> Iterator[Problem]:
    """Each step's needs must be given by an earlier one, and few may stand twice: in the guest their jobs have their names from it."""
    given: dict[str, str] = {}
    seen: set[str] = set()
    for number, step in steps:
        if step.name in seen and not step.repeatable:
            yield Problem(("steps", number), f"{step.name} stands twice")
        seen.add(step.name)
        for fact in sorted(step.needs - given.keys()):
            givers = [step.name for step in registered_steps().values() if fact in step.gives]
            todo = f"; put {' or '.join(givers)} before it" if givers else ""
            yield Problem(("steps", number), f"{step.name} needs {fact!r}, which no step before it gives{todo}")
        for fact in sorted(step.spoiled_by & given.keys()):
            yield Problem(("steps", number), f"{step.name} cannot stand after {given[fact]}: put it before")
        given |= dict.fromkeys(step.gives, step.name)
