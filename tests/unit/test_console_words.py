"""What a clone says on its console, as it is read: the last word of each kind, and only of the system that spoke last."""

import pytest

from imagebuild.console_words import Told, first_boot_files, first_boot_lines, read_told

STAMP = {"recipe": "a", "build": "a-2"}


def log(*lines: str) -> str:
    """A console's log, with what else stands in it."""
    return "".join(f"imagebuild: {line}\r\nboot: something\r\n" for line in lines)


def test_the_last_word_of_each_kind_counts() -> None:
    told = read_told(log("image recipe=a build=a-2", "member name=D-1 domain=?", "member name=D-1 domain=c.e trust=ok"))
    assert told == Told(STAMP, {"name": "D-1", "domain": "c.e", "trust": "ok"})
    assert read_told(log("winrm ready", "image", "member domain")) == Told()


def test_what_the_system_before_has_said_is_forgotten_with_the_next_one_s_stamp() -> None:
    before = log("image recipe=a build=a-1", "member name=D-1 domain=c.e trust=ok")
    assert read_told(before + log("image recipe=a build=a-2")) == Told(STAMP)


def test_a_restart_may_have_emptied_the_log_of_the_stamp() -> None:
    assert read_told(log("member name=D-1 domain=-")) == Told(None, {"name": "D-1", "domain": "-"})


def test_the_lines_fit_into_what_windows_takes() -> None:
    stamp, create, announced, run = first_boot_lines("COM1")
    assert stamp.endswith(r"do >\\.\COM1 echo imagebuild: image recipe=%%r build=%%b")
    assert announced == r">\\.\COM1 echo imagebuild: member name=%COMPUTERNAME% domain=?"
    assert run == r"schtasks.exe /run /tn imagebuild\member"
    command = create.partition(' /tr "')[2].removesuffix('"')
    assert len(command) <= 261  # schtasks: /tr
    (path,) = first_boot_files("COM1")
    assert f"-File {path} COM1" in command


@pytest.mark.parametrize("port", [None, ""])
def test_without_a_serial_port_nothing_is_said(port: str | None) -> None:
    assert (first_boot_lines(port), first_boot_files(port)) == ((), {})
