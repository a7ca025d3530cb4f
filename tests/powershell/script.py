"""One guest script as its syntax tree shows it: what it calls, defines, loads and reads. Nothing here judges."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

import imagebuild.windows

FOLDER = Path(imagebuild.windows.__file__).parent
ALONE = ("Enable-BuildAccess", "Receive-Files", "Write-Membership")

_PARSER = Parser(Language(tree_sitter_powershell.language()))


@dataclass(frozen=True)
class Call:
    """A command that is called: `name` as written, `parameters` with their dash, `arguments` that follow no parameter."""

    name: str
    parameters: tuple[str, ...]
    arguments: tuple[Node, ...]
    splatted: bool
    line: int


@dataclass(frozen=True)
class Member:
    """A static member: `type` without brackets, `name`, and whether it is called."""

    type: str
    name: str
    line: int


def text_of(node: Node) -> str:
    """The source text of a node."""
    return (node.text or b"").decode("utf-8")


def line_of(node: Node) -> int:
    """The line of a node, counted from 1."""
    return node.start_point[0] + 1


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, in the order of the source."""
    yield node
    for child in node.children:
        yield from walk(child)


def first(node: Node, kind: str) -> Node | None:
    """The first node of a kind in or below `node`."""
    return next((found for found in walk(node) if found.type == kind), None)


class Script:
    """A parsed script. `name` is the file's name without .ps1; its form decides what it is: see `kind`."""

    def __init__(self, name: str, source: bytes) -> None:
        self.name = name
        self.source = source
        self.root = _PARSER.parse(source).root_node

    @classmethod
    @cache
    def load(cls, name: str) -> "Script":
        """A script of the package."""
        return cls(name, (FOLDER / f"{name}.ps1").read_bytes())

    @property
    def kind(self) -> Literal["alone", "script", "library"]:
        """alone: sent without the prelude; script: run from the bundle; library: loaded by scripts (lower case)."""
        if self.name in ALONE:
            return "alone"
        return "script" if self.name[0].isupper() else "library"

    @property
    def version(self) -> str:
        """The PowerShell that it is written for, as a key of commands.json."""
        return "5.1" if self.source.startswith(b"#requires -Version 5.1") else "2.0"

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the tree."""
        return tuple(walk(self.root))

    def of_type(self, *kinds: str) -> Iterator[Node]:
        """Every node of these kinds."""
        return (node for node in self.nodes if node.type in kinds)

    @cached_property
    def statements(self) -> tuple[Node, ...]:
        """The statements of the script's own body, without comments."""
        found: list[Node] = []
        for child in self.root.children:
            if child.type == "statement_list":
                found += [node for node in child.children if node.is_named and node.type != "comment"]
            elif child.type != "comment":
                found.append(child)
        return tuple(found)

    @cached_property
    def comments(self) -> tuple[str, ...]:
        """Its comments, in order."""
        return tuple(text_of(node) for node in self.of_type("comment"))

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """The libraries that it dot-sources, in order, without .ps1."""
        names = []
        for node in self.of_type("command"):
            if node.children[0].type == "command_invokation_operator" and text_of(node.children[0]) == ".":
                names += re.findall(r"'([a-z-]+)\.ps1'", text_of(node))
        return tuple(names)

    @cached_property
    def functions(self) -> dict[str, frozenset[str]]:
        """Its functions in lower case, each with its parameters' names in lower case."""
        found = {}
        for node in self.of_type("function_statement"):
            name = next(text_of(child) for child in node.children if child.type == "function_name")
            declared = next((child for child in node.children if child.type == "function_parameter_declaration"), None)
            parameters = [] if declared is None else [n for n in walk(declared) if n.type == "script_parameter"]
            variables = [
                next(child for child in parameter.children if child.type == "variable") for parameter in parameters
            ]
            found[name.lower()] = frozenset(text_of(variable).lstrip("$").lower() for variable in variables)
        return found

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every command that is called by its name; what is called through a variable has none."""
        return tuple(call for node in self.of_type("command") if (call := _read_call(node)) is not None)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every static member that is used: [Type]::Member."""
        found = []
        for node in self.of_type("member_access", "invokation_expression"):
            if node.children[0].type == "type_literal" and text_of(node.children[1]) == "::":
                found.append(Member(text_of(node.children[0])[1:-1], text_of(node.children[2]), line_of(node)))
        return tuple(found)

    @cached_property
    def types(self) -> tuple[tuple[str, int], ...]:
        """Every type that it names, in brackets or for New-Object, with its line."""
        literal = [(text_of(node)[1:-1], line_of(node)) for node in self.of_type("type_literal")]
        made = [
            (text_of(c.arguments[0]).split("(")[0], c.line)
            for c in self.calls
            if c.name == "New-Object" and c.arguments
        ]
        return (*literal, *made)

    @cached_property
    def member_names(self) -> tuple[tuple[str, int], ...]:
        """Every member that is read or called on anything, with its line."""
        return tuple((text_of(node), line_of(node)) for node in self.of_type("member_name"))

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """The contents of its literal strings, quotes included."""
        kinds = ("verbatim_string_characters", "expandable_string_literal", "verbatim_here_string_characters")
        return tuple(text_of(node) for node in self.of_type(*kinds))

    @cached_property
    def read_parameters(self) -> frozenset[str]:
        """The keys of its parameters that it reads by Get-Parameter, Get-RequiredParameter or Get-ListParameter."""
        source = self.source.decode("utf-8")
        asked = re.findall(r"Get-(?:Required|List)?Parameter \$\w+ '([a-z0-9_]+)'", source)
        asked += re.findall(r"Get-\w+ \$[Pp]arameters '([a-z0-9_]+)'", source)  # by a function of its own
        indexed = re.findall(r"\$(?:parameters|p|traces)\['([a-z0-9_]+)'\]", source)
        return frozenset(asked) | frozenset(indexed)


def every_script() -> tuple[str, ...]:
    """The names of all scripts and libraries of the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.ps1")))


def _read_call(node: Node) -> Call | None:
    holder = next((child for child in node.children if child.type.startswith("command_name")), None)
    if holder is None or text_of(holder)[0] in "($[\"'":  # called through a value: nobody can say here what it is
        return None
    elements = next((child for child in node.children if child.type == "command_elements"), None)
    parameters: list[str] = []
    arguments: list[Node] = []
    after_parameter = splatted = False
    for child in [] if elements is None else elements.children:
        if child.type == "command_parameter":
            parameters.append(text_of(child))
        elif child.type in {"command_argument_sep", "redirection"}:
            continue
        elif text_of(child).startswith("@") and text_of(child)[1:2].isalpha():
            splatted = True
        elif not after_parameter:
            arguments.append(child)
        after_parameter = child.type == "command_parameter"
    return Call(text_of(holder), tuple(parameters), tuple(arguments), splatted, line_of(node))
