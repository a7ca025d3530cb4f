"""A YAML file becomes plain values that know their lines, and a model's complaints become problems at those lines, all told at once."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from imagebuild.complaints import COMPLAINT, causes, in_words, kinds
from imagebuild.errors import RecipeError

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_ADVICE = {  # by what PyYAML says; the first that fits
    "'\\t' that cannot start": "take the tab out: YAML is indented with blanks",
    "cannot start any token": "put a value that begins with it in quotes",
    "undefined alias": "put a value that begins with `*` in quotes",
    "another document": "one {kind} a file: take out the line `---` and what belongs to another one",
    "mapping values": "put a text with `: ` in it in quotes; else look at the indentation there",
    "expected ':'": "a key ends with a colon and a blank: `key: value`",
    "expected ','": "close the bracket of line {begin}, or put a comma between what is in it",
    "end of stream": "close the quote of line {begin}",
    "escape": "use single quotes: in double ones a backslash begins an escape",
    "": "look at the indentation there",
}


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
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}", hint=f"a {kind} is a text file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: cannot be read: not UTF-8", hint="save it as UTF-8") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error, kind) from error
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
        # What could not be read is not refused once more, nor what it is a part of.
        known = {one.place[:length] for one in problems for length in range(len(one.place) + 1)}
        for item in causes(error.errors(include_url=False, include_input=False)):
            found = _problem(item, model, content)
            if (where := (*place, *found.place)) not in known:
                problems.append(Problem(where, found.text))
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or which ones are known, or nothing."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""


def _not_yaml(path: Path, error: yaml.MarkedYAMLError, kind: str) -> RecipeError:
    mark = error.problem_mark or error.context_mark
    begin = error.context_mark or mark
    # The name of an alias may be the beginning of a password.
    problem = re.sub(r"(alias|anchor|handle) .*", r"\1", error.problem or "")
    advice = next(advice for words, advice in _ADVICE.items() if words in problem)
    hint = advice.format(kind=kind, begin=begin.line + 1 if begin else 1)
    return RecipeError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {problem.removeprefix('but ')}", hint=hint)


def _read(
    node: yaml.Node, place: Place, lines: dict[Place, int], problems: list[Problem], above: tuple[yaml.Node, ...] = ()
) -> Any:
    """The node as plain values, its lines remembered; a key that stands twice is a problem (YAML takes the last one silently)."""
    lines[place] = node.start_mark.line + 1
    if node in above:
        problems.append(Problem(place, "this alias stands for what it is itself a part of"))
        return None
    if node.tag not in _tags_for(node):
        problems.append(
            Problem(place, "cannot be read: put it in quotes if it is a text; tags, `!`, mean nothing here")
        )
        return None
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            simple = isinstance(key_node, yaml.ScalarNode)
            key = str(key_node.value) if simple else "?"
            if key in result:
                problems.append(Problem((*place, key), "this key stands twice"))
            if simple:
                result[key] = _read(value_node, (*place, key), lines, problems, above)
            else:
                problems.append(Problem((*place, key), "a key is a word, not a list or a mapping"))
            lines[(*place, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_read(item, (*place, number), lines, problems, above) for number, item in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        kind = node.tag.rpartition(":")[2]
        problems.append(Problem(place, f"cannot be read as {kind}: put it in quotes if it is a text"))
        return None
    finally:
        loader.dispose()


def _tags_for(node: yaml.Node) -> Iterable[str | None]:
    """What may be written before such a node: nothing makes an object of a mapping or a list."""
    if isinstance(node, yaml.ScalarNode):
        return yaml.SafeLoader.yaml_constructors.keys()
    resolver = yaml.SafeLoader
    return (resolver.DEFAULT_MAPPING_TAG if isinstance(node, yaml.MappingNode) else resolver.DEFAULT_SEQUENCE_TAG,)


def _problem(item: ErrorDetails, model: type[BaseModel], content: Any) -> Problem:
    """One of pydantic's complaints, at the key that it is about."""
    place, kind, about = item["loc"], item["type"], item.get("ctx", {})
    where, given = _written(place, content)
    match kind:
        case "missing":
            return Problem((*where, place[-1]), in_words(item))
        case "extra_forbidden":
            return Problem(where, f"is not known here{nearest(str(where[-1]), _keys(_sections(model, place[:-1])))}")
        case "union_tag_not_found" | "union_tag_invalid" if isinstance(given, Mapping):
            words = "is missing" if kind == "union_tag_not_found" else "is not known here"
            tags = [tag for section in _sections(model, place) for tag in _tags(section)]
            return Problem((*where, about["discriminator"].strip("'")), words + nearest(about.get("tag", ""), tags))
        case _ if kind == COMPLAINT and isinstance(given, Mapping):
            keys = about["keys"]
            return Problem((*where, next((key for key in keys if key in given), keys[0])), in_words(item))
        case _:
            return Problem(where, in_words(item, given=given))


def _written(place: Place, content: Any) -> tuple[Place, Any]:
    """The place as the file has it, and what is there: pydantic also names which member of a union it tried, and what is missing."""
    where: list[str | int] = []
    for part in place:
        if isinstance(content, Mapping) and part in content:
            content = content[str(part)]
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        else:
            continue
        where.append(part)
    return tuple(where), content


def _sections(model: type[BaseModel], place: Place) -> Sequence[type[BaseModel]]:
    """The models that a place (as pydantic names it) of a model may have."""
    choices: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, int):  # an item of a list: the list's own key has led to the model of its items
            continue
        tagged = [one for one in choices if part in _tags(one)]
        if len(choices) > 1 and tagged:
            choices = tagged
            continue
        annotations = [one.model_fields[part].annotation for one in choices if part in one.model_fields]
        nested = [kind for annotation in annotations for kind in kinds(annotation)]
        choices = [kind for kind in nested if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return choices


def _keys(sections: Iterable[type[BaseModel]]) -> Iterable[str]:
    """The keys of all these, as a file writes them."""
    return [field.alias or name for one in sections for name, field in one.model_fields.items()]


def _tags(model: type[BaseModel]) -> set[Any]:
    """The word by which a union tells this member from the others: what one of its fields can only be."""
    literals = [one.annotation for one in model.model_fields.values() if get_origin(one.annotation) is Literal]
    return {words[0] for annotation in literals if len(words := get_args(annotation)) == 1}


def _words(place: Place) -> str:
    """`steps[2].updates.source: `"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""
