"""The house's own rules: how a guest script is framed, what it prints, how it reaches Windows so that it can be run elsewhere."""

import re
from collections.abc import Iterator

from tests.powershell.language import Rule
from tests.powershell.script import ALONE, Script, line_of, text_of

# What would print beside the one result, or read and write files in the guest's code page.
_SILENT = {
    "write-host",
    "write-output",
    "write-verbose",
    "write-warning",
    "write-error",
    "write-progress",
    "out-default",
}
_SILENT |= {"read-host", "invoke-expression", "import-module", "start-bitstransfer", "tee-object", "out-file"}
_SILENT |= {"get-content", "set-content", "add-content"}
_WINDOWS_TYPES = re.compile(
    r"^(System\.)?(ADSI|ADSISearcher|WMI|WMICLASS|WMISEARCHER|Activator|Console|Microsoft\.Win32\..*|Security\.Principal\..*"
    r"|Security\.AccessControl\..*|Security\.Cryptography\.X509Certificates\.X509Store|ServiceProcess\..*"
    r"|Management\.Management.*|DirectoryServices\..*|Diagnostics\.(Process|EventLog)|Windows\..*)$",
    re.IGNORECASE,
)
_WINDOWS_MEMBERS = {"gettypefromclsid", "gettypefromprogid", "tickcount", "osversion", "getactiveobject"}


def is_plain_text(script: Script) -> Iterator[str]:
    """ASCII, LF, no tabs, an end of line at the end: what is not ASCII is read in the guest's code page."""
    for number, line in enumerate(script.source.split(b"\n"), 1):
        if re.search(rb"[^ -~]", line):
            yield f"line {number}: something that is not printable ASCII"
    if not script.source.endswith(b"\n"):
        yield "no end of line at the end"


def prints_only_results(script: Script) -> Iterator[str]:
    """Nothing that writes beside the result, or reads and writes text in the guest's code page."""
    for call in script.calls:
        if call.name.lower() in _SILENT:
            yield f"line {call.line}: {call.name}: output goes through the result, files through the prelude"


def reaches_windows_through_commands(script: Script) -> Iterator[str]:
    """Static calls into Windows only in the prelude (and in the scripts that go without it)."""
    if script.name in {"prelude", *ALONE}:
        return
    for name, line in script.types:
        # Reading the console's own code page is the one look at [Console] that no command gives.
        if _WINDOWS_TYPES.match(name) and not (name == "Console" and _is_output_encoding(script, line)):
            yield f"line {line}: [{name}] cannot be played by a function: give the prelude a function for it"
    for member in script.members:
        if member.name.lower() in _WINDOWS_MEMBERS:
            yield f"line {member.line}: [{member.type}]::{member.name} belongs into the prelude"


def _is_output_encoding(script: Script, line: int) -> bool:
    return any(m.type == "Console" and m.name == "OutputEncoding" and m.line == line for m in script.members)


def leaves_what_harms(script: Script) -> Iterator[str]:
    """Not Win32_Product (it repairs every MSI), not wmic or -Version 2 (gone from Windows 11)."""
    code = "\n".join([*script.strings, *(text_of(argument) for call in script.calls for argument in call.arguments)])
    for words in (r"\bWin32_Product\b", r"\bwmic\b", r"powershell(\.exe)? -version 2"):
        if re.search(words, code, re.IGNORECASE):
            yield f"uses what {words} finds"


def begins_with_a_header(script: Script) -> Iterator[str]:
    """A comment says what it is for; a library's begins with its name."""
    head = [line for line in script.comments if not line.lower().startswith(("#requires", "#ps1"))][:1]
    if not head or not script.source.startswith((b"# ", b"#requires", b"#ps1_sysnative\n# ")):
        yield "no header comment"
    elif script.kind == "library" and not head[0].startswith(f"# {script.name}.ps1 - "):
        yield f"the header does not begin with '# {script.name}.ps1 - '"
    elif script.kind == "alone" and head[0] != f"# imagebuild script: {script.name}":
        yield f"the header does not say 'imagebuild script: {script.name}'"


def keeps_the_frame(script: Script) -> Iterator[str]:
    """A script: param([string]$ParametersFile), the prelude first, one Invoke-GuestScript as the last statement."""
    if script.kind != "script":
        return
    if not script.statements or text_of(script.statements[0]) != "param([string]$ParametersFile)":
        yield "it does not begin with param([string]$ParametersFile)"
    if script.libraries[:1] != ("prelude",):
        yield "the prelude is not the first that it loads"
    runs = [call for call in script.calls if call.name == "Invoke-GuestScript"]
    if len(runs) != 1:
        yield f"Invoke-GuestScript is called {len(runs)} times"
    last = text_of(script.statements[-1]) if script.statements else ""
    if not last.startswith("Invoke-GuestScript $ParametersFile {"):
        yield "Invoke-GuestScript $ParametersFile { is not the last statement"


def works_in_its_body(script: Script) -> Iterator[str]:
    """Outside functions and the body there are only assignments and libraries: loading a file does no work."""
    if script.kind == "alone":
        return
    for statement in script.statements:
        words = text_of(statement)
        harmless = words.startswith((". (Join-Path ", "Invoke-GuestScript ", "Set-StrictMode ")) or re.match(
            r"\$\w+ = ", words
        )
        if statement.type not in {"function_statement", "param_block"} and not harmless:
            yield f"line {line_of(statement)}: work outside a function: {words[:60]}"


def leaves_the_exit_code(script: Script) -> Iterator[str]:
    """exit is the machinery's: a failure is data."""
    if script.kind == "alone":
        return
    for node in script.of_type("flow_control_statement"):
        if text_of(node).lower().startswith("exit"):
            yield f"line {line_of(node)}: exit in a script"


FRAME_RULES: tuple[Rule, ...] = (
    is_plain_text,
    prints_only_results,
    reaches_windows_through_commands,
    leaves_what_harms,
    begins_with_a_header,
    keeps_the_frame,
    works_in_its_body,
    leaves_the_exit_code,
)
