"""A YAML file becomes plain values that know their lines, and a model's complaints become problems at those lines, all told at once."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from imagebuild.errors import RecipeError

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `place` is the path of keys and indexes."""

    place: Place
    text: str


@dataclass(frozen=True)
class Document:
    """A file's content, the line of each place in it, and what was wrong already while it was read."""

    path: Path
    content: dict[str, Any]
    lines: Mapping[Place, int]
    problems: list[Problem] = field(default_factory=list)

    def refusal(self, problems: Sequence[Problem]) -> RecipeError:
        """The error whose `details` name every problem as FILE:LINE: PATH: what, what to do; in the order of the file."""
        told = sorted(
            {(self._line(p.place), f"{self.path}:{self._line(p.place)}: {_words(p.place)}{p.text}") for p in problems}
        )
        count = f"{len(told)} problem{'s' * (len(told) != 1)}"
        return RecipeError(f"{self.path} has {count}", details=[text for _, text in told])

    def _line(self, place: Place) -> int:
        """The line of a place; of its nearest parent where it has none (a missing key)."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


def read_document(path: Path, *, kind: str) -> Document:
    """The file read, whatever it says. `kind` is what a person calls such a file and its first key: recipe, pool. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}", hint=f"a {kind} is a UTF-8 text file") from error
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
        raise RecipeError(f"{path}:1: a {kind} is a mapping of keys", hint=f"begin with `{kind}: NAME`")
    lines: dict[Place, int] = {}
    problems: list[Problem] = []
    content = _read(root, (), lines, problems)
    return Document(path, content, lines, problems)


def find_file(name: str, *, folder: Path, kind: str) -> Path:
    """The file that is called so: a name in the folder, or a path. Raises RecipeError with the nearest names."""
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    known = file_names(folder)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise RecipeError(f"there is no {kind} {name!r} in {folder}", hint=hint)


def file_names(folder: Path) -> tuple[str, ...]:
    """The YAML files of a folder by name."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def validated(model: type[Model], content: Any, place: Place, problems: list[Problem]) -> Model | None:
    """The content as that model; None when it is not, and then what is wrong is added to `problems`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            missing = item["type"] == "missing"
            where = _written(item["loc"], content, missing=missing)
            text = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                text = f"is not known here{nearest(str(where[-1]), _keys(model, item['loc'][:-1]))}"
            elif missing:
                text = "is missing"
            problems.append(Problem((*place, *where), text))
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or which ones are known, or nothing."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""


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


def _written(place: Place, content: Any, *, missing: bool) -> Place:
    """The place as the file has it: pydantic also names which member of a union it tried, and that is nowhere written."""
    where: list[str | int] = []
    for part in place:
        if isinstance(content, Mapping) and part in content:
            content = content[str(part)]
        elif isinstance(content, Sequence) and isinstance(part, int) and part < len(content):
            content = content[part]
        elif not (missing and part == place[-1]):
            continue
        where.append(part)
    return tuple(where)


def _keys(model: type[BaseModel], place: Place) -> Iterable[str]:
    """The keys that are known at a place (as pydantic names it) of a model, as a file writes them."""
    choices: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, int):  # an item of a list: the list's own key has led to the model of its items
            continue
        tagged = [one for one in choices if part in _tags(one)]
        if len(choices) > 1 and tagged:
            choices = tagged
            continue
        annotations = [one.model_fields[part].annotation for one in choices if part in one.model_fields]
        choices = [nested for annotation in annotations for nested in _models(annotation)]
    return [field.alias or name for one in choices for name, field in one.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of: itself, or what is in its list, tuple or union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)


def _tags(model: type[BaseModel]) -> set[Any]:
    """The words by which a union tells this member from the others."""
    literals = [one.annotation for one in model.model_fields.values() if get_origin(one.annotation) is Literal]
    return {word for annotation in literals for word in get_args(annotation)}


def _words(place: Place) -> str:
    """`steps[2].updates.source: `"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""
