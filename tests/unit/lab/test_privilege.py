"""Through sudo once, with what the root process must know and nothing else."""

import os
import sys
from pathlib import Path

import pytest

from imagebuild.errors import LabError
from imagebuild.lab import privilege
from imagebuild.report import SilentReport

pytestmark = pytest.mark.effects


def install_sudo(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    sudo = folder / "sudo"
    sudo.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_the_action_and_the_labs_root_are_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_sudo(tmp_path, monkeypatch, f'for word in "$@"; do echo "$word"; done > {tmp_path}/asked')
    for name in privilege.KEPT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IMAGEBUILD_LAB_ROOT", "/somewhere")
    monkeypatch.setenv("OS_PASSWORD", "must not travel")
    privilege.run_as_root(SilentReport(), "up", "4")
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert asked == ["env", "IMAGEBUILD_LAB_ROOT=/somewhere", sys.executable, "-m", "imagebuild.lab", "up", "4"]


def test_a_failure_as_root_is_ours_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_sudo(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(LabError, match="lab.down failed as root"):
        privilege.run_as_root(SilentReport(), "down")


def test_without_sudo_the_command_for_root_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError) as caught:
        privilege.run_as_root(SilentReport(), "reset")
    assert caught.value.hint.endswith(f"{sys.executable} -m imagebuild.lab reset")


def test_root_is_who_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not privilege.is_root()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privilege.is_root()
