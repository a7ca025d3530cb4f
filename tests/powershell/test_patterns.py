"""The patterns on which the two scripts without a prelude rely, taken out of their source and tried on good and hostile values.

.NET's expressions and Python's agree on everything that is used here, except that .NET's \\z is Python's \\Z.
"""

import json
import re

import pytest

from tests.powershell.script import Script

RECEIVER = Script.load("Receive-Files").source.decode()
ACCESS = Script.load("Enable-BuildAccess").source.decode()


def pattern_after(source: str, words: str) -> re.Pattern[str]:
    """The first verbatim string behind `words`, as an expression. It must be there, once."""
    found = re.findall(re.escape(words) + r"'([^']*)'", source)
    assert len(found) == 1, words
    return re.compile(found[0].replace(r"\z", r"\Z"))


def is_path_taken(path: str) -> bool:
    wanted = pattern_after(RECEIVER, "$file['path'] -cnotmatch ")
    refused = pattern_after(RECEIVER, "$file['path'] -match ")
    return wanted.search(path) is not None and refused.search(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "C:\\imagebuild\\scripts\\prelude.ps1",
        "d:\\media\\virtio win\\a.b.c\\agent (1).msi",
        "C:\\imagebuild\\\ud55c\uae00.txt",
        "C:\\x",
        "C:\\.hidden\\file",
    ],
)
def test_the_receiver_takes_a_full_path(path: str) -> None:
    assert is_path_taken(path)


@pytest.mark.parametrize(
    "path",
    [
        "C:\\imagebuild\\..\\Windows\\system.ini",
        "C:\\imagebuild\\.\\x",
        "C:\\..",
        "C:\\a\\\\b",
        "C:\\a\\",
        "C:\\",
        "C:x",
        "\\\\server\\share\\x",
        "\\\\?\\C:\\x",
        "C:/imagebuild/x",
        "C:\\file:stream",
        "C:\\trailing.\\x",
        "C:\\trailing \\x",
        "C:\\x ",
        "C:\\a*",
        'C:\\a"b',
        "C:\\a\n",
        "C:\\a\nb",
        "C:\\a\0b",
        "",
        "x",
    ],
)
def test_the_receiver_refuses_a_path_that_leads_elsewhere(path: str) -> None:
    assert not is_path_taken(path)


PRIVATE = "O:BAG:S-1-5-21-1-2-3-513D:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)"


@pytest.mark.parametrize("sddl", [PRIVATE, PRIVATE.replace("PAI", "P"), PRIVATE.replace("O:BA", "O:SY")])
def test_the_receiver_knows_a_private_folder(sddl: str) -> None:
    assert pattern_after(RECEIVER, "$private = ").search(sddl)


@pytest.mark.parametrize(
    "sddl",
    [
        PRIVATE.replace("D:PAI", "D:AI"),
        PRIVATE + "(A;OICI;0x1200a9;;;BU)",
        PRIVATE.replace("(A;OICI;FA;;;SY)", "(A;OICI;FA;;;WD)"),
        PRIVATE.replace("(A;OICI;FA;;;BA)", ""),
        PRIVATE.replace("O:BA", "O:S-1-5-21-1-2-3-1001"),
        "",
    ],
)
def test_the_receiver_knows_an_open_folder(sddl: str) -> None:
    assert not pattern_after(RECEIVER, "$private = ").search(sddl)


def test_what_the_receiver_answers_is_json_in_ascii() -> None:
    escaped = pattern_after(RECEIVER, "[regex]::Replace([string]$Text, ")
    hostile = "a\"b\\c\t\r\n\x00\x7f \ud55c\uae00 \u2028 {0} 'x' []~!#"
    text = '"' + escaped.sub(lambda found: f"\\u{ord(found[0]):04x}", hostile) + '"'
    assert text.isascii()
    assert json.loads(text) == hostile


def test_what_goes_to_the_console_has_none_of_cmd_s_own_characters() -> None:
    unwanted = pattern_after(ACCESS, "$clean = $Text -replace ")
    clean = unwanted.sub(
        " ", "access denied & del | more > x < y ^ %PATH% !x! (a) \"b\" 'c' \ud55c\uae00\r\n0x80338169: C:\\x, =+;_-/"
    )
    assert not re.search(r"[&|<>^%!()\"'\r\n]", clean)
    assert clean.isascii()
    assert "0x80338169: C:\\x, =+;_-/" in clean


def test_the_console_line_is_written_while_and_after_the_port_is_taken() -> None:
    assert ACCESS.count(")>\\\\.\\COM1'") == 1
    loop = re.search(r"\$loop = '([^']*)' -f \$echo", ACCESS)
    assert loop is not None
    command = loop[1].replace("{0}", "(echo a&echo b)>\\\\.\\COM1")
    assert command == (
        "/d /c for /l %i in (1,1,600) do @((echo a&echo b)>\\\\.\\COM1 && exit || ping.exe -n 3 127.0.0.1 >nul)"
    )
