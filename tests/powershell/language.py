"""What PowerShell 2.0 on Windows 7 does not understand, or understands otherwise than it reads.

A rule takes a script and yields a sentence for every finding; test_rules.py proves that every rule can find something.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tree_sitter import Node

from tests.powershell.script import Call, Script, every_script, first, line_of, text_of, walk

Rule = Callable[[Script], Iterator[str]]

_COMMON = {"verbose", "debug", "erroraction", "warningaction", "errorvariable", "warningvariable", "outvariable"}
_COMMON |= {"outbuffer", "whatif", "confirm"}
_POSITIONAL = {"join-path": 2, "new-object": 2, "where-object": 1, "foreach-object": 1, "get-wmiobject": 1}
_POSITIONAL |= {"sort-object": 1, "get-command": 1, "write-step": 1, "start-process": 1, "select-object": 1}
_LATER_OPERATORS = {"-in", "-notin", "-cin", "-cnotin", "-iin", "-inotin", "-shl", "-shr"}
_LATER_MEMBERS = {"IsNullOrWhiteSpace", "Is64BitOperatingSystem", "Is64BitProcess", "TryParse", "CopyTo", "ReadLines"}
_LATER_MEMBERS |= {"EnumerateFiles", "EnumerateDirectories", "EnumerateFileSystemEntries", "ForEach", "Where", "new"}
_LATER_MEMBERS |= {"Tls12", "Tls13"}
_WITHOUT_PARSE = {"guid", "version"}  # until .NET 4
_LATER_TYPES = re.compile(
    r"^(ordered|pscustomobject|(System\.)?(Tuple|Lazy)\b.*|.*\b(HashSet|ZipFile|ZipArchive|HttpClient|BigInteger|ConcurrentDictionary)\b.*)$",
    re.IGNORECASE,
)
_LATER_VARIABLES = {"$psscriptroot", "$pscommandpath", "$psitem"}
_LITERAL_PATHS = {"get-childitem", "get-item", "get-itemproperty", "remove-item", "remove-itemproperty", "test-path"}
_LITERAL_PATHS |= {"move-item"}


@cache
def vocabulary(version: str) -> dict[str, frozenset[str]]:
    """Commands of a PowerShell version in lower case, each with its parameters in lower case."""
    listed = json.loads((Path(__file__).parent / "commands.json").read_text(encoding="utf-8"))
    names: dict[str, frozenset[str]] = {} if version == "2.0" else dict(vocabulary("2.0"))
    for name, parameters in listed[version].items():
        names[name.lower()] = names.get(name.lower(), frozenset()) | frozenset(parameters.lower().split())
    return names


@cache
def _library_functions(name: str) -> dict[str, frozenset[str]]:
    return Script.load(name).functions


@cache
def _users(library: str) -> tuple[Script, ...]:
    scripts = (Script.load(name) for name in every_script() if name[0].isupper())
    return tuple(script for script in scripts if library in script.libraries)


def loaded_libraries(script: Script) -> set[str]:
    """Libraries that are there when `script` runs: those that it loads; for a library those that all its users load."""
    if script.kind != "library":
        return set(script.libraries)
    return set.intersection(*([set(user.libraries) for user in _users(script.name)] or [{"prelude"}]))


def known_functions(script: Script) -> dict[str, frozenset[str]]:
    """Functions that `script` may call, with their parameters: its own and those of the libraries that are there."""
    known = dict(script.functions)
    for name in loaded_libraries(script):
        known |= _library_functions(name)
    return known


def parses(script: Script) -> Iterator[str]:
    """The parser finds no mistake."""
    for node in script.nodes:
        if node.type == "ERROR" or node.is_missing:
            yield f"line {line_of(node)}: syntax: {text_of(node)[:60]!r}"


def calls_known_commands(script: Script) -> Iterator[str]:
    """Commands exist in this PowerShell, in the script or its libraries, or are programs with .exe. No aliases, by that."""
    known = vocabulary(script.version).keys() | known_functions(script).keys()
    for call in script.calls:
        if call.name.lower() not in known and not call.name.lower().endswith(".exe"):
            yield f"line {call.line}: {call.name} is no command of PowerShell {script.version}, nor ours"


def names_known_parameters(script: Script) -> Iterator[str]:
    """Parameters exist and are written in full."""
    known = vocabulary(script.version) | known_functions(script)
    for call in script.calls:
        allowed = known.get(call.name.lower())
        if allowed is None:
            continue
        for parameter in call.parameters:
            if parameter.lstrip("-").rstrip(":").lower() not in allowed | _COMMON:
                yield f"line {call.line}: {call.name} has no parameter {parameter}"


def names_its_arguments(script: Script) -> Iterator[str]:
    """No more unnamed arguments to a cmdlet than everybody can read."""
    commands = vocabulary(script.version)
    for call in script.calls:
        name = call.name.lower()
        if name in commands and name not in known_functions(script) and len(call.arguments) > _POSITIONAL.get(name, 0):
            yield f"line {call.line}: {call.name} with {len(call.arguments)} unnamed arguments"


def takes_paths_literally(script: Script) -> Iterator[str]:
    """-LiteralPath: with -Path a bracket in a name is a pattern."""
    for call in script.calls:
        named = [parameter.lower() for parameter in call.parameters]
        if call.name.lower() in _LITERAL_PATHS and "-path" in named and not _means_a_pattern(script, call):
            yield f"line {call.line}: {call.name} -Path reads brackets as a pattern: -LiteralPath"


def _means_a_pattern(script: Script, call: Call) -> bool:
    # A star in the source is meant. Set-BrokerAgent escapes a value's name itself: with -LiteralPath some versions
    # still read the name as a pattern.
    line = script.source.split(b"\n")[call.line - 1]
    return b"*" in line or (script.name, call.name) == ("Set-BrokerAgent", "Remove-ItemProperty")


def uses_old_operators(script: Script) -> Iterator[str]:
    """No operator that came with PowerShell 3.0."""
    for node in script.of_type("comparison_operator"):
        if text_of(node).lower() in _LATER_OPERATORS:
            yield f"line {line_of(node)}: {text_of(node)} came with PowerShell 3.0"
    for node in script.of_type("redirection"):
        if re.match(r"[3-6*]>", text_of(node)):
            yield f"line {line_of(node)}: {text_of(node)} came with PowerShell 3.0"


def uses_old_types(script: Script) -> Iterator[str]:
    """No type or static member that came after .NET 3.5, no literal that came after PowerShell 2.0."""
    for name, line in script.types:
        if _LATER_TYPES.match(name):
            yield f"line {line}: [{name}] is not in Windows 7"
    for name, line in script.member_names:
        if name in _LATER_MEMBERS:
            yield f"line {line}: .{name} is not in Windows 7"
    for member in script.members:
        if member.name == "Parse" and member.type.lower().removeprefix("system.") in _WITHOUT_PARSE:
            yield f"line {member.line}: [{member.type}]::{member.name} is not in Windows 7"
    for node in script.of_type("class_statement", "enum_statement", "invokation_expression"):
        if node.type != "invokation_expression":
            yield f"line {line_of(node)}: {node.type} came with PowerShell 5"
        elif re.match(r"\[(System\.)?IO\.Path\]::Combine\(", text_of(node)) and _count_arguments(node) > 2:
            yield f"line {line_of(node)}: Path.Combine takes two parts before .NET 4"


def _count_arguments(node: Node) -> int:
    listed = first(node, "argument_expression_list")
    return 0 if listed is None else sum(child.type == "argument_expression" for child in listed.children)


def uses_script_blocks(script: Script) -> Iterator[str]:
    """Where-Object and ForEach-Object with a block: the short forms came with PowerShell 3.0."""
    for call in script.calls:
        if call.name.lower() in {"where-object", "foreach-object"} and not call.splatted:
            block = call.arguments[:1] and first(call.arguments[0], "script_block_expression")
            if not block or call.parameters:
                yield f"line {call.line}: {call.name} without a script block"


def uses_old_variables(script: Script) -> Iterator[str]:
    """No automatic variable that came with PowerShell 3.0, no $using:."""
    for node in script.of_type("variable"):
        name = text_of(node).lower()
        if name in _LATER_VARIABLES or name.startswith("$using:"):
            yield f"line {line_of(node)}: {text_of(node)} came with PowerShell 3.0"


def wraps_what_it_loops_over(script: Script) -> Iterator[str]:
    """foreach over a command's output in @( ): PowerShell 2.0 runs the body once for nothing at all."""
    for loop in script.of_type("foreach_statement"):
        pipeline = next((child for child in loop.children if child.type == "pipeline"), None)
        if pipeline is None or not re.fullmatch(r"\(.*\)", text_of(pipeline), re.DOTALL):
            continue
        inner = first(pipeline, "parenthesized_expression")
        if inner is not None and text_of(inner) == text_of(pipeline) and first(inner, "command") is not None:
            yield f"line {line_of(loop)}: foreach over a bare command: @( )"


def keeps_native_errors_apart(script: Script) -> Iterator[str]:
    """2>&1 only where $ErrorActionPreference is 'Continue': else the first line on standard error ends the script."""
    for function in script.of_type("function_statement"):
        merges = any(node.type == "merging_redirection_operator" for node in walk(function))
        if merges and "$ErrorActionPreference = 'Continue'" not in text_of(function):
            yield f"line {line_of(function)}: 2>&1 in a function that stops at errors"
    inside = {node.id for function in script.of_type("function_statement") for node in walk(function)}
    for node in script.of_type("merging_redirection_operator"):
        if node.id not in inside:
            yield f"line {line_of(node)}: 2>&1 outside a function"


LANGUAGE_RULES: tuple[Rule, ...] = (
    parses,
    calls_known_commands,
    names_known_parameters,
    names_its_arguments,
    takes_paths_literally,
    uses_old_operators,
    uses_old_types,
    uses_script_blocks,
    uses_old_variables,
    wraps_what_it_loops_over,
    keeps_native_errors_apart,
)
