"""A recipe file becomes a checked value, or a list of everything that is wrong with it, each with file, line and path.

Nothing here asks a cloud: a recipe is right or wrong by itself.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from imagebuild.errors import RecipeError
from imagebuild.recipe_header import Header
from imagebuild.step import Step, registered_steps

Place = tuple[str | int, ...]


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


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `place` is the path of keys and indexes."""

    place: Place
    text: str


def recipe_names(folder: Path) -> tuple[str, ...]:
    """The recipes of a folder by name."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def find_recipe(name: str, *, folder: Path) -> Path:
    """The file of a recipe: a name in the folder, or a path. Raises RecipeError with the nearest names."""
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    known = recipe_names(folder)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise RecipeError(f"there is no recipe {name!r} in {folder}", hint=hint)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file. Raises RecipeError whose `details` name every problem as FILE:LINE: PATH: what, what to do."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}", hint="a recipe is a UTF-8 text file") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{path}:{line}: not YAML: {error.problem}", hint="look at the indentation there") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        words = f"{path}:{line}: not YAML: the character U+{error.character:04X} is not allowed"
        raise RecipeError(words, hint="take it out: some editors do not show it") from error
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{path}:1: a recipe is a mapping of keys", hint="begin with `recipe: NAME`")
    lines: dict[Place, int] = {}
    problems: list[Problem] = []
    content = _read(root, (), lines, problems)
    recipe, more = _check(path, content)
    problems += more
    if problems or recipe is None:
        told = sorted(
            {(_line(lines, p.place), f"{path}:{_line(lines, p.place)}: {_words(p.place)}{p.text}") for p in problems}
        )
        raise RecipeError(f"{path} has {len(told)} problem{'s' * (len(told) != 1)}", details=[text for _, text in told])
    return recipe


def _read(
    node: yaml.Node, place: Place, lines: dict[Place, int], problems: list[Problem], above: tuple[yaml.Node, ...] = ()
) -> Any:
    """The node as plain values, its lines remembered; a key that stands twice is a problem (YAML takes the last one silently)."""
    lines[place] = node.start_mark.line + 1
    if node in above:
        problems.append(Problem(place, "this alias stands for what it is itself a part of"))
        return None
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in result:
                problems.append(Problem((*place, key), "this key stands twice"))
            result[key] = _read(value_node, (*place, key), lines, problems, above)
            lines[(*place, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_read(item, (*place, number), lines, problems, above) for number, item in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        problems.append(Problem(place, f"cannot be read: {error}"))
        return None
    finally:
        loader.dispose()


def _check(path: Path, content: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    problems: list[Problem] = []
    header = _validated(Header, {k: v for k, v in content.items() if k != "steps"}, (), problems)
    named = list(_named_steps(content.get("steps"), problems))
    problems += _order([(number, kind) for number, kind, _ in named])
    steps = [(n, _validated(kind, given, ("steps", n, kind.name), problems)) for n, kind, given in named]
    sound = [(number, step) for number, step in steps if isinstance(step, Step)]
    if isinstance(header, Header):
        for number, step in sound:
            problems += [Problem(("steps", number), text) for text in step.check(header)]
        problems += _misnamed(path, header)
    if problems or not isinstance(header, Header):
        return None, problems
    return Recipe(path, header, tuple(step for _, step in sound)), problems


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
            problems.append(Problem((*place, name), f"there is no such step{_nearest(name, known)}"))
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


def _validated(model: type[BaseModel], content: Any, place: Place, problems: list[Problem]) -> BaseModel | None:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            where = tuple(part for part in item["loc"] if not isinstance(part, str) or "[" not in part)
            text = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                text = f"is not known here{_nearest(str(where[-1]), _keys(model, where[:-1]))}"
            elif item["type"] == "missing":
                text = "is missing"
            problems.append(Problem((*place, *where), text))
        return None


def _keys(model: type[BaseModel], place: Place) -> Iterable[str]:
    """The keys that are known at a place of a model, as a recipe writes them."""
    for part in place:
        if isinstance(part, int):  # an item of a list: the list's own key has led to the model of its items
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        nested = next(iter(get_args(annotation)), annotation)
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return ()
        model = nested
    return [field.alias or name for name, field in model.model_fields.items()]


def _nearest(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""


def _line(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place; of its nearest parent where it has none (a missing key)."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _words(place: Place) -> str:
    """`steps[2].updates.source: `"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""
