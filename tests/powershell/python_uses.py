"""Finds in Python sources where a guest script is called, which parameters are sent there and which keys of the answer are read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

RUNS = {"run", "run_as_system", "start_as_system"}  # of imagebuild.guest.Guest


@dataclass(frozen=True)
class Use:
    """One call: the keys that are sent and read, as far as they stand in the calling function."""

    place: str
    script: str
    sent: frozenset[str] = field(default_factory=frozenset)
    read: frozenset[str] = field(default_factory=frozenset)


def find_uses(source: str, place: str) -> Iterator[Use]:
    """Every call of a guest script by its name in a Python source; `place` is how the source is called in the result."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in RUNS
                and node.args
            ):
                name = _text(node.args[0])
                if name is not None:
                    sent = frozenset(_keys(node.args[1], function)) if len(node.args) > 1 else frozenset()
                    read = frozenset(_subscripts(_target(node, function), function, ast.Load))
                    yield Use(f"{place}:{node.lineno}", name, sent, read)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _keys(node: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    """The keys of a dictionary that stands here, or that got a name in the same function and grew under it."""
    if isinstance(node, ast.Dict):
        yield from (text for key in node.keys if key is not None and (text := _text(key)) is not None)
    elif isinstance(node, ast.Name):
        for value in _assigned(node.id, function):
            if isinstance(value, ast.Dict):
                yield from _keys(value, function)
        yield from _subscripts(node.id, function, ast.Store)


def _assigned(name: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Every value that the name is given in the function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
                yield node.value
        elif (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
            and node.value
        ):
            yield node.value


def _target(call: ast.Call, function: ast.FunctionDef) -> str | None:
    """The name that the call's value is given."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and node.value is call and isinstance(node.targets[0], ast.Name):
            return node.targets[0].id
    return None


def _subscripts(name: str | None, function: ast.FunctionDef, context: type[ast.expr_context]) -> Iterator[str]:
    """The constant keys with which the name is read (ast.Load) or filled (ast.Store)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, context) and isinstance(node.value, ast.Name):
            key = _text(node.slice)
            if node.value.id == name and key is not None:
                yield key
