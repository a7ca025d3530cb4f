"""Plain commands for people, and the ways of Packer, Ansible and pywinrm's run_ps."""

from __future__ import annotations

import base64
import json

import pytest
from model_fakes import Bench, FakeCall


def encoded(text: str, program: str = "powershell.exe -EncodedCommand") -> str:
    return f"{program} {base64.b64encode(text.encode('utf-16-le')).decode()}"


@pytest.mark.parametrize(
    ("line", "code", "out"),
    [
        ("hostname", 0, "BUILDER-1\r\n"),
        ("whoami", 0, "builder-1\\administrator\r\n"),
        ("echo hello world", 0, "hello world\r\n"),
        ("echo %TEMP%", 0, "C:\\Windows\\Temp\r\n"),
        ("exit 3", 3, ""),
        ("exit /b -5", -5, ""),
        ("echo a&& echo b", 0, "a\r\nb\r\n"),
        ("echo a & echo b", 0, "a \r\nb\r\n"),
        ("exit 1 && echo never", 1, ""),
        ("cmd.exe /d /c echo inner", 0, "inner\r\n"),
        ('cmd /s /c "echo quoted && exit 4"', 4, "quoted \r\n"),
        ("dir C:\\Users", 0, "Administrator\r\n"),
        ('type "C:\\imagebuild\\scripts\\nothing.txt"', 1, ""),
        ("set X=1 && set", 0, "X=1\r\n"),
        ("sc.exe config W32Time start= auto", 0, ""),
        ("net.exe start W32Time", 0, ""),
        ("ping -n 3 127.0.0.1", 0, "Reply from the stand-in: waited.\r\n"),
        (r"reg.exe query HKLM\SOFTWARE\nothing /v at_all", 1, ""),
    ],
)
def test_plain_commands(builder: Bench, line: str, code: int, out: str) -> None:
    assert builder.run(line)[:2] == (code, out)


def test_each_line_of_an_output_is_taken_apart(builder: Bench) -> None:
    builder.guest.registry.set("HKLM:\\SOFTWARE\\here", "name", "value-7", "String")
    loop = r"""for /f "tokens=3" %%v in ('reg.exe query HKLM\SOFTWARE\here /v name ^| findstr.exe REG_SZ') do"""
    assert builder.run(f"{loop} echo it is %%v") == (0, "it is value-7\r\n", "")
    assert builder.run(f"{loop} >\\\\.\\COM1 echo it is %%v") == (0, "", "")
    assert builder.machine.lines[-1] == "it is value-7"
    assert builder.run(loop.replace("tokens=3", "tokens=4") + " echo never") == (0, "", "")


def test_ver_says_what_this_is(builder: Bench) -> None:
    assert "not Windows" in builder.run("ver")[1]


def test_standard_input_comes_back(builder: Bench) -> None:
    assert builder.run("more", b"one\r\ntwo") == (0, "one\r\ntwo", "")


def test_what_is_unknown_fails_with_windows_words_and_a_console_line(builder: Bench) -> None:
    code, out, error = builder.run("frobnicate /all")
    assert (code, out) == (1, "")
    assert error.startswith("'frobnicate' is not recognized as an internal or external command,")
    assert builder.machine.lines[-1] == "stand-in: no play for the command frobnicate"


@pytest.mark.parametrize(
    "line",
    [
        "sc.exe delete W32Time", "net.exe use Z:", "C:\\nothing.cmd", "sc.exe config Nobody start= auto",
        "reg.exe add HKLM\\SOFTWARE /v x", "for %%a in (1 2) do echo %%a",
    ],
)  # fmt: skip
def test_known_programs_refuse_what_they_do_not_play(builder: Bench, line: str) -> None:
    assert builder.run(line)[0] != 0
    assert builder.machine.lines[-1].startswith("stand-in: no play for")


@pytest.mark.parametrize(
    ("codepage", "expected"), [(437, b"caf\x82\r\n"), (65001, "caf\u00e9\r\n".encode()), (20127, b"caf?\r\n")]
)
def test_output_is_in_the_shells_code_page(builder: Bench, codepage: int, expected: bytes) -> None:
    call = FakeCall("echo caf\u00e9", codepage=codepage)
    builder.windows.run(call)
    assert call.out == expected


def test_a_stopped_command_ends(builder: Bench) -> None:
    call = FakeCall("ping -n 1000 127.0.0.1")
    call.stop = True
    assert builder.windows.run(call) == 0xC000013A


def test_a_person_may_ask_powershell_a_little(builder: Bench) -> None:
    assert builder.run(encoded("Write-Output 'hi'; exit 3")) == (3, "hi\r\n", "")
    assert builder.run('powershell -NoProfile -Command "hostname"') == (0, "BUILDER-1\r\n", "")
    code, out, error = builder.run(encoded("Write-Error 'bad <thing>'"))
    assert (code, out) == (0, "") and error.startswith("#< CLIXML") and "bad &lt;thing&gt;" in error
    code, _, error = builder.run(encoded("Get-Everything -All"))
    assert code == 1 and "The term 'Get-Everything' is not recognized" in error
    assert builder.machine.lines[-1] == "stand-in: no play for the PowerShell statement Get-Everything"


def test_packers_probe(builder: Bench) -> None:
    probe = "if (Test-Path variable:global:ProgressPreference){$ProgressPreference='SilentlyContinue'}; echo \"WinRM connected.\""
    assert builder.run(encoded(probe)) == (0, "WinRM connected.\r\n", "")


def test_packers_upload_and_script(builder: Bench) -> None:
    content = b"@echo off\r\necho from the script %PACKER%\r\n"
    lines = base64.b64encode(content).decode()
    for start in range(0, len(lines), 8):
        assert builder.run(f'echo {lines[start : start + 8]} >> "%TEMP%\\winrmcp-1-2.tmp"')[0] == 0
    restore = (
        '$ProgressPreference = "SilentlyContinue";\n'
        '$tmp_file_path = [System.IO.Path]::GetFullPath("$env:TEMP\\winrmcp-1-2.tmp")\n'
        '$dest_file_path = [System.IO.Path]::GetFullPath("c:/Windows/Temp/script.bat".Trim("\'"))\n'
        "if (Test-Path $dest_file_path) { rm $dest_file_path }\n"
    )
    assert builder.run(encoded(restore)) == (0, "", "")
    assert builder.guest.files.read("C:\\Windows\\Temp\\script.bat") == content
    clean = 'Remove-Item "$env:TEMP\\winrmcp-1-2.tmp" -ErrorAction SilentlyContinue'
    assert builder.run(encoded(clean))[0] == 0
    assert not builder.guest.files.exists("C:\\Windows\\Temp\\winrmcp-1-2.tmp")
    assert builder.run('set "PACKER=x y" && "c:/Windows/Temp/script.bat"') == (0, "from the script x y\r\n", "")


def test_an_empty_upload_is_an_empty_file(builder: Bench) -> None:
    restore = (
        '$tmp_file_path = [System.IO.Path]::GetFullPath("$env:TEMP\\winrmcp-9.tmp")\n'
        '$dest_file_path = [System.IO.Path]::GetFullPath("C:\\empty")'
    )
    assert builder.run(encoded(restore))[0] == 0
    assert builder.guest.files.read("C:\\empty") == b""


def test_ansible(builder: Bench) -> None:
    wrapper = encoded(
        'begin { $x = "`0`0`0`0" }',
        "PowerShell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand",
    )
    manifest = json.dumps({"module": "ansible.windows.win_ping"}).encode() + b"\0\0\0\0{}"
    code, out, _ = builder.run(wrapper, manifest)
    assert (code, json.loads(out)) == (0, {"changed": False, "ping": "pong"})
    code, out, _ = builder.run(wrapper, b'{"module": "ansible.windows.win_copy"}')
    assert code == 1 and json.loads(out)["failed"] is True
    assert builder.machine.lines[-1] == "stand-in: no play for the Ansible module win_copy"
    assert (
        builder.run(
            encoded("hostname", "PowerShell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand")
        )[1]
        == "BUILDER-1\r\n"
    )


def test_echo_to_the_serial_port(builder: Bench) -> None:
    assert builder.run("echo imagebuild: hello>\\\\.\\COM1")[0] == 0
    assert builder.machine.lines[-1] == "imagebuild: hello"
