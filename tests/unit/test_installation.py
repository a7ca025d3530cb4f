"""The answer file for an installation from the medium: every Windows renders; disk, drivers and first logon are what they must be."""

from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from imagebuild.answer_rules import find_answer_errors
from imagebuild.answers import OperatingSystem, read_settings
from imagebuild.errors import RecipeError
from imagebuild.installation import InstallSettings, render_installation_file
from imagebuild.secrets import Secret

TEMPLATES = Path(__file__).parents[2] / "unattend"
NS = "{urn:schemas-microsoft-com:unattend}"
EVERY_OS = get_args(OperatingSystem)


def install(os: str = "win10", *, windows: dict[str, Any] | None = None, **values: Any) -> InstallSettings:
    plain = {"os": os, "locale": "ko-KR", "time_zone": "Korea Standard Time", **(windows or {})}
    if os == "win11":
        plain["admin_user"] = "vdi-admin"
    firmware = {"win7": "bios"}.get(os, "uefi")
    return InstallSettings(**{"windows": read_settings(plain), "firmware": firmware, "image_index": 3, **values})


def render(made: InstallSettings) -> ElementTree.Element:
    text = render_installation_file(TEMPLATES, install=made, password=Secret("Aa1-secret"))
    assert find_answer_errors(text, nt=made.windows.nt, architecture=made.windows.architecture) == ()
    return ElementTree.fromstring(text.encode())  # noqa: S314


def texts(root: ElementTree.Element, tag: str) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NS}{tag}")]


@pytest.mark.parametrize("os", EVERY_OS)
def test_every_windows_renders_and_keeps_the_rules(os: str) -> None:
    root = render(install(os, windows={"product_key": "W269N-WFGWX-YVC9B-4J6C9-T83GX", "owner": "R&D <x>"}))
    assert texts(root, "Key") == ["/IMAGE/INDEX", "W269N-WFGWX-YVC9B-4J6C9-T83GX"]
    assert texts(root, "ComputerName") == ["*"]
    assert texts(root, "FullName") == ["R&D <x>"]
    assert texts(root, "Username") == ["Administrator"]


@pytest.mark.parametrize(("firmware", "kinds", "target"), [("bios", 2, "2"), ("uefi", 3, "3")])
def test_windows_goes_into_the_last_partition_which_takes_the_rest(firmware: str, kinds: int, target: str) -> None:
    root = render(install("win10", firmware=firmware))
    assert len(texts(root, "CreatePartition")) == kinds
    assert texts(root, "Extend") == ["true"]
    created = list(root.iter(f"{NS}CreatePartition"))
    assert created[-1].find(f"{NS}Extend") is not None
    installed = next(root.iter(f"{NS}InstallTo"))
    assert installed.findtext(f"{NS}PartitionID") == target
    assert ("MSR" in texts(root, "Type")) is (firmware == "uefi")
    assert (texts(root, "Active") == ["true"]) is (firmware == "bios")


def test_drivers_are_looked_for_under_every_letter() -> None:
    root = render(install("ws2012r2", drivers=["viostor", "NetKVM"]))
    paths = [element.findtext(f"{NS}Path") for element in root.iter(f"{NS}PathAndCredentials")]
    assert len(paths) == 8
    assert paths[0] == r"D:\viostor\2k12R2\amd64"
    assert r"G:\NetKVM\2k12R2\amd64" in paths


def test_a_korean_keyboard_is_not_asked_for() -> None:
    assert texts(render(install()), "LayeredDriver") == ["2"]
    assert texts(render(install(layered_driver=5)), "LayeredDriver") == ["5"]
    assert texts(render(install(windows={"locale": "de-DE"})), "LayeredDriver") == []


def test_only_what_each_windows_needs_is_set_before_the_first_logon() -> None:
    found = {os: [path for path in texts(render(install(os)), "Path") if path.startswith("reg.exe")] for os in EVERY_OS}
    assert len(found["win7"]) == 2
    assert all(r"Protocols\TLS 1.2\Server" in path for path in found["win7"])
    assert found["ws2012r2"] == []
    assert all("FirstNetwork" in paths[0] for os, paths in found.items() if os not in {"win7", "ws2012r2"})


def test_windows_11_can_be_told_to_pass_over_its_requirements() -> None:
    bypassed = [
        path for path in texts(render(install("win11", bypass_requirements=True)), "Path") if "LabConfig" in path
    ]
    assert len(bypassed) == 5
    assert not [path for path in texts(render(install("win11")), "Path") if "LabConfig" in path]


def test_the_first_logon_opens_winrm() -> None:
    (command,) = texts(render(install("win7")), "CommandLine")
    assert "in (D E F G) do if exist %i:\\Enable-BuildAccess.ps1" in command
    assert texts(render(install("win7")), "LogonCount") == ["1"]
    assert texts(render(install("win10")), "LogonCount") == ["2"]


@pytest.mark.parametrize(
    ("os", "values", "words"),
    [
        ("win7", {"firmware": "uefi"}, "firmware bios"),
        ("win11", {"firmware": "bios"}, "UEFI only"),
        ("win10", {"bypass_requirements": True}, "only Windows 11"),
        ("win10", {"drivers": ["..\\x"]}, "no folder"),
        ("win10", {"drivers": []}, "at least 1"),
        ("win10", {"image_index": 0}, "greater than or equal to 1"),
    ],
)
def test_combinations_that_cannot_work_are_refused(os: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        install(os, **values)


def test_a_long_first_logon_command_is_noticed(tmp_path: Path) -> None:
    source = (TEMPLATES / "autounattend.xml.j2").read_text()
    (tmp_path / "autounattend.xml.j2").write_text(source.replace("<CommandLine>", f"<CommandLine>{'x' * 1024}"))
    with pytest.raises(RecipeError) as caught:
        render_installation_file(tmp_path, install=install(), password=Secret("Aa1-secret"))
    assert "1024 are read" in caught.value.details[0]
