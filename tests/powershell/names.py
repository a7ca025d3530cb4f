"""Names that lead nowhere: variables that nobody assigns, arguments that nobody takes. In strict mode the first ends a script half way."""

from collections.abc import Iterator

from tests.powershell.language import Rule, known_functions, loaded_libraries
from tests.powershell.script import Script, first, line_of, text_of, walk

# Set by PowerShell itself, 2.0 and later; ErrorActionPreference and its like are read before they are set.
_AUTOMATIC = {"_", "args", "error", "executioncontext", "false", "home", "host", "input", "lastexitcode", "matches"}
_AUTOMATIC |= {"myinvocation", "null", "pid", "psversiontable", "true", "erroractionpreference", "progresspreference"}

_TALKATIVE = {"new-item", "new-itemproperty", "new-psdrive", "set-wsmaninstance", "new-wsmaninstance"}


def _name(variable: str) -> str:
    return variable.lower().lstrip("$@").strip("{}")


def _assigned(script: Script) -> set[str]:
    """Every variable that is given a value somewhere in the file: scopes are not looked at."""
    names = set()
    for node in script.of_type("left_assignment_expression"):
        names |= {_name(text_of(found)) for found in walk(node) if found.type == "variable"}
    for node in script.of_type("script_parameter", "foreach_statement"):
        variable = next(child for child in node.children if child.type == "variable")
        names.add(_name(text_of(variable)))
    return names


def reads_what_is_assigned(script: Script) -> Iterator[str]:
    """Every variable is assigned in the script or in a library that it loads."""
    known = _AUTOMATIC | _assigned(script)
    for library in loaded_libraries(script):
        known |= _assigned(Script.load(library))
    for node in script.of_type("variable"):
        name = _name(text_of(node))
        if not name.startswith(("env:", "script:", "using:")) and name not in known:
            yield f"line {line_of(node)}: {text_of(node)} is assigned nowhere"


def gives_functions_what_they_take(script: Script) -> Iterator[str]:
    """No call of our own functions with more arguments than parameters: PowerShell would drop them without a word."""
    known = known_functions(script)
    for call in script.calls:
        parameters = known.get(call.name.lower())
        if parameters is not None and len(call.arguments) + len(call.parameters) > len(parameters):
            given = len(call.arguments) + len(call.parameters)
            yield f"line {call.line}: {call.name} takes {len(parameters)} arguments and is given {given}"


def returns_no_handle_by_accident(script: Script) -> Iterator[str]:
    """What New-Item and its like give back would become part of a function's result: it goes to Out-Null or a variable."""
    for pipeline in script.of_type("pipeline_chain"):
        commands = [child for child in pipeline.children if child.type == "command"]
        if len(commands) != 1 or pipeline.parent is None or pipeline.parent.parent is None:
            continue
        name = first(commands[0], "command_name")
        alone = pipeline.parent.parent.type == "statement_list"
        if alone and name is not None and text_of(name).lower() in _TALKATIVE:
            yield f"line {line_of(pipeline)}: {text_of(name)} without | Out-Null"


NAME_RULES: tuple[Rule, ...] = (
    reads_what_is_assigned,
    gives_functions_what_they_take,
    returns_no_handle_by_accident,
)
