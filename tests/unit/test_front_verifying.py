"""`invoke verify` as it is typed: what arrives at the job, and what a failed verification looks like to a script."""

from pathlib import Path
from typing import Any

import pytest
from invoke import Program

import tasks
from imagebuild.errors import VerificationFailed
from imagebuild.jobs import verifying
from imagebuild.jobs.settings import Settings
from imagebuild.report import Report


def run(*words: str) -> int:
    try:
        Program(namespace=tasks.namespace).run(["invoke", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["win7-vdi"], ("win7-vdi", None, {"clones": None, "keep": False})),
        (["win7-vdi-v3", "--clones", "1", "--keep"], ("win7-vdi-v3", None, {"clones": 1, "keep": True})),
        (["--cloud", "site", "win7-vdi"], ("win7-vdi", "site", {"clones": None, "keep": False})),
    ],
)
def test_what_is_typed_arrives(monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: Any) -> None:
    calls = []

    def verify(text: str, settings: Settings, report: Report, **options: Any) -> None:
        calls.append((text, settings.cloud, options))

    monkeypatch.setattr(verifying, "verify", verify)
    assert run("verify", *words) == 0
    assert calls == [wanted]


def test_a_failed_verification_is_told_and_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def verify(text: str, settings: Settings, report: Report, **options: Any) -> None:
        report.say("sid  vfy-1  FAILED  shared", check="sid", clone="vfy-1", outcome="failed", took_seconds=0.0)
        error = VerificationFailed("win7-vdi-v1 failed: 1 check", details=["sid of vfy-1: shared"])
        error.after = ("win7-vdi-v1 is rejected and hidden; next: mend the recipe, then invoke build win7-vdi",)
        raise error

    monkeypatch.setattr(verifying, "verify", verify)
    junit = tmp_path / "verify.xml"
    assert run("verify", "win7-vdi", "--junit", str(junit)) == 1
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "error: win7-vdi-v1 failed: 1 check",
        "  | sid of vfy-1: shared",
        "  win7-vdi-v1 is rejected and hidden; next: mend the recipe, then invoke build win7-vdi",
    ]
    assert 'failures="1"' in junit.read_text() and 'classname="vfy-1"' in junit.read_text()
