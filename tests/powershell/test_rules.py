"""Every script keeps every rule, and every rule finds what it is there to find."""

import pytest

from tests.powershell.frame import FRAME_RULES
from tests.powershell.language import LANGUAGE_RULES, Rule, known_functions, vocabulary
from tests.powershell.names import NAME_RULES
from tests.powershell.script import Script, every_script

RULES = (*LANGUAGE_RULES, *NAME_RULES, *FRAME_RULES)
BY_NAME = {rule.__name__: rule for rule in RULES}
FRAME = """# Does nothing, for the tests.
param([string]$ParametersFile)
. (Join-Path (Split-Path -Parent $MyInvocation.MyCommand.Path) 'prelude.ps1')

Invoke-GuestScript $ParametersFile {
    param($parameters)
    BODY
}
"""


def framed(body: str) -> Script:
    """A script that keeps all rules as long as its body does."""
    return Script("Test-Sample", FRAME.replace("BODY", body).encode())


@pytest.mark.parametrize("rule", RULES, ids=BY_NAME)
@pytest.mark.parametrize("name", every_script())
def test_script(name: str, rule: Rule) -> None:
    assert list(rule(Script.load(name))) == []


BAD_BODIES = {
    "parses": ["if ($a { 1 }", "@{ a = ", "foreach ($x) { }"],
    "is_plain_text": ["Write-Step 'Hangul: \uac00'", "\tGet-Date", "Get-Date\r"],
    "calls_known_commands": [
        "gci C:\\", "Get-CimInstance Win32_Service", "ConvertTo-Json $a", "Get-FileHash $a", "Get-BuilderAccount $p",
        "netsh advfirewall", "$a | % { $_ }", "& Invoke-WebRequest $u", "Get-WindowsFeature",
    ],
    "names_known_parameters": [
        "Get-ChildItem -LiteralPath $a -File", "Test-Path -Literal $a", "Out-Null -Nonsense", "Remove-Item -LiteralPath $a -rec",
        "Get-Parameter -Nam 'x'", "Get-WinEvent -FilterHashTables @{}", "New-Item -Path $a -Target $b",
    ],
    "names_its_arguments": ["Test-Path $a", "Remove-Item $a $b", "Get-WmiObject Win32_Service Name", "Start-Sleep 5", "Get-Service WinRM"],
    "takes_paths_literally": ["Test-Path -Path $a", "Remove-Item -Path $a -Recurse"],
    "prints_only_results": ["Write-Host 'x'", "Write-Output $a", "Get-Content -LiteralPath $a", "Invoke-Expression $a"],
    "uses_old_operators": ["if ($a -in $b) { 1 }", "$a -notin $b", "$a = 1 -shl 2", "if ($a -NotIn $b) { 1 }"],
    "uses_old_types": [
        "$a = [ordered]@{}", "$a = [pscustomobject]@{ b = 1 }", "[string]::IsNullOrWhiteSpace($a)", "[Environment]::Is64BitProcess",
        "New-Object Collections.Generic.HashSet[string]", "[guid]::Parse($a)", "[version]::Parse($a)", "[int]::TryParse($a, [ref]$b)",
        "$a.CopyTo($b)", "[IO.Path]::Combine($a, $b, $c)", "[IO.File]::ReadLines($a)", "$list.Where({ $_ })", "[Text.StringBuilder]::new()",
        "[Net.SecurityProtocolType]::Tls12", "New-Object Net.Http.HttpClient",
    ],
    "uses_script_blocks": ["$a | Where-Object Name -eq 'x'", "$a | ForEach-Object Name", "$a | Where-Object -Property Name"],
    "uses_old_variables": ["Join-Path $PSScriptRoot 'x'", "$a | ForEach-Object { $PSItem }", "& $using:a", "$PSCommandPath"],
    "wraps_what_it_loops_over": ["foreach ($x in (Get-Service)) { $x }", "foreach ($x in (Get-Thing $y)) { $x }"],
    "reaches_windows_through_commands": [
        "[ADSI]'WinNT://x'", "[Microsoft.Win32.Registry]::LocalMachine", "[Console]::Out.WriteLine(1)", "[Environment]::TickCount",
        "[Type]::GetTypeFromCLSID($a)", "[Security.Principal.WindowsIdentity]::GetCurrent()", "[wmi]'x'",
        "[Activator]::CreateInstance($t)",
        "New-Object Security.Principal.SecurityIdentifier 'S-1-5-18'", "[Environment]::OSVersion",
        "[System.Diagnostics.Process]::Start($a)",
    ],
    "keeps_native_errors_apart": ["& reg.exe query x 2>&1", "function F { & reg.exe query x 2>&1 }"],
    "leaves_what_harms": [
        "Get-WmiObject Win32_Product", "Invoke-Program 'cmd.exe' @('/c', 'wmic os')", "Invoke-Program 'powershell.exe -version 2' @()",
    ],
    "reads_what_is_assigned": ["Write-Step $nobody", "$a = \"text $nobody\"", "$a = \"text ${nobody}: more\"", "Get-Item @nothing"],
    "gives_functions_what_they_take": ["Write-Step 'a' 'b'", "Get-Parameter $parameters 'a' 1 2", "Get-UptimeSeconds 1"],
    "returns_no_handle_by_accident": ["New-Item -Path 'a' -ItemType Directory", "if ($a) { New-ItemProperty -LiteralPath 'b' }"],
    "leaves_the_exit_code": ["exit 1", "if ($a) { exit }"],
}  # fmt: skip
BAD_SCRIPTS = {
    "begins_with_a_header": [
        ("Test-Sample", "param([string]$ParametersFile)\n"),
        ("sample", "# something else\nfunction F { 1 }\n"),
        ("Receive-Files", "# Receive-Files\n"),
    ],
    "keeps_the_frame": [
        ("Test-Sample", framed("1").source.decode().replace("param([string]$ParametersFile)\n", "")),
        ("Test-Sample", framed("1").source.decode().replace("[string]$ParametersFile)", "[string]$ParametersFile, $Other)")),
        ("Test-Sample", framed("1").source.decode().replace("'prelude.ps1'", "'jobs.ps1'")),
        ("Test-Sample", framed("1").source.decode() + "Get-Date\n"),
        ("Test-Sample", framed("1").source.decode().replace("Invoke-GuestScript $ParametersFile", "& $ParametersFile")),
        ("Test-Sample", framed("1").source.decode() * 2),
    ],
    "works_in_its_body": [
        ("Test-Sample", "# x\nparam([string]$ParametersFile)\nRemove-Item -LiteralPath C:\\x\n"),
        ("sample", "# sample.ps1 - x\nif ($a) { Get-Date }\n"),
    ],
    "is_plain_text": [("sample", "# no end of line")],
    "calls_known_commands": [("generalize", "Get-TraceTable\n"), ("Repair-Appx", "#requires -Version 5.1\nGet-NoSuchThing\n")],
    "uses_old_types": [("sample", "class A { [string]$B }\n")],
}  # fmt: skip
SAMPLES = [
    *((rule, framed(body)) for rule, bodies in BAD_BODIES.items() for body in bodies),
    *((rule, Script(name, text.encode())) for rule, scripts in BAD_SCRIPTS.items() for name, text in scripts),
]


@pytest.mark.parametrize(
    ("rule", "script"), SAMPLES, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(SAMPLES)]
)
def test_rule_finds(rule: str, script: Script) -> None:
    assert list(BY_NAME[rule](script)), script.source.decode()


def test_every_rule_is_shown_to_find_something() -> None:
    assert BAD_BODIES.keys() | BAD_SCRIPTS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("rule", RULES, ids=BY_NAME)
def test_good_sample_passes(rule: Rule) -> None:
    body = """$names = @(Get-ListParameter $parameters 'names')
    foreach ($service in @(Get-WmiObject -Class Win32_Service -Filter "Name='a'")) {
        if ($names -contains $service.Name) { Write-Step $service.Name }
    }
    Get-ChildItem -LiteralPath 'C:\\a' -Force -ErrorAction SilentlyContinue | Where-Object { $_.Length } | Sort-Object -Property Name
    [IO.Path]::Combine('a', 'b')
    [string]::IsNullOrEmpty($names)"""
    assert list(rule(framed(body))) == []


def test_what_a_5_1_script_may_call_a_2_0_script_may_not() -> None:
    assert "get-appxpackage" in vocabulary("5.1")
    assert "get-appxpackage" not in vocabulary("2.0")
    assert "convertto-json" in vocabulary("5.1")
    old = Script("Test-Sample", b"Get-AppxPackage -AllUsers\n")
    new = Script("Test-Sample", b"#requires -Version 5.1\nGet-AppxPackage -AllUsers\n")
    assert list(BY_NAME["calls_known_commands"](old)) != []
    assert list(BY_NAME["calls_known_commands"](new)) == []


def test_the_vocabulary_is_windows_7_s_and_not_a_server_s() -> None:
    assert "file" not in vocabulary("2.0")["get-childitem"]
    assert vocabulary("2.0")["where-object"] == {"filterscript", "inputobject"}
    assert "add-windowsfeature" not in vocabulary("2.0")


def test_a_library_may_only_call_what_all_its_users_load() -> None:
    assert "get-hresult" not in known_functions(Script.load("traces"))
    assert "get-listparameter" in known_functions(Script.load("traces"))
    assert "get-pendingrebootreasons" not in known_functions(Script.load("generalize"))


@pytest.mark.parametrize("name", every_script())
def test_no_function_hides_another(name: str) -> None:
    script = Script.load(name)
    names = [function for loaded in script.libraries for function in Script.load(loaded).functions] + list(
        script.functions
    )
    assert len(names) == len(set(names)), sorted({one for one in names if names.count(one) > 1})


def test_every_library_is_loaded_by_a_script() -> None:
    loaded = {library for name in every_script() for library in Script.load(name).libraries}
    assert loaded == {name for name in every_script() if name[0].islower()}
