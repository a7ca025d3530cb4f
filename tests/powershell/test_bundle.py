"""How the guest scripts are handed out: the bundle, the builder's user data, the receiver, and what takes their traces away again."""

import base64
import re

import pytest

import imagebuild.windows as windows
from imagebuild.pool.membership import what_keeps_it_out
from tests.powershell.script import ALONE, Script, every_script

LINES_OF_ICACLS = re.compile(r"Invoke-Icacls (@\(.*\))")


def test_the_bundle_holds_every_script_and_library_and_not_those_that_go_alone() -> None:
    assert set(windows.bundle()) == {f"{name}.ps1" for name in every_script() if name not in ALONE}
    assert set(windows.script_names()) == {name for name in every_script() if name[0].isupper() and name not in ALONE}
    assert windows.read_script("prelude") == windows.bundle()["prelude.ps1"]


def test_the_bundle_is_what_windows_reads_the_same_everywhere() -> None:
    for name, content in windows.bundle().items():
        assert content.isascii(), name
        assert content.count(b"\n") == content.count(b"\r\n") > 0, name
        assert content.count(b"\r") == content.count(b"\r\n"), name


def test_whatever_a_script_loads_is_in_the_bundle() -> None:
    for name in windows.script_names():
        assert {f"{library}.ps1" for library in Script.load(name).libraries} <= windows.bundle().keys()


def test_an_unknown_script_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        windows.read_script("Get-NoSuchThing")


def test_the_digest_follows_names_and_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for sources in ({"Get-A.ps1": "1\n"}, {"Get-A.ps1": "2\n"}, {"Get-B.ps1": "1\n"}, {"Get-A.ps1": "1\n"}):
        monkeypatch.setattr(windows, "_sources", lambda sources=sources: sources)
        digests.append(windows.digest())
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


def test_user_data_begins_as_cloudbase_init_needs_it_and_fits_into_nova() -> None:
    first, second, *_ = windows.user_data().splitlines()
    assert (first, second) == ("#ps1_sysnative", "# imagebuild script: Enable-BuildAccess")
    assert len(base64.b64encode(windows.user_data().encode())) < 65535


def test_user_data_says_on_the_console_what_the_controller_reads() -> None:
    strings = Script.load("Enable-BuildAccess").strings
    assert '"imagebuild: winrm certificate sha256=$sha256"' in strings
    assert "'imagebuild: winrm ready'" in strings
    assert "'imagebuild: winrm failed: '" in strings


def test_user_data_opens_no_unencrypted_or_basic_way() -> None:
    text = windows.user_data()
    assert re.findall(r"\b(Basic|AllowUnencrypted|Certificate|CredSSP) = '(\w+)'", text) == [
        ("AllowUnencrypted", "false"),
        ("Basic", "false"),
        ("Certificate", "false"),
        ("CredSSP", "false"),
    ]
    assert "5985" not in text
    assert "Transport=HTTP'" not in text


def test_the_traces_name_what_user_data_leaves() -> None:
    text = windows.user_data()
    traces = windows.build_access_traces("ab" * 32)
    assert f"$Name = '{windows.BUILD_FIREWALL_RULE}'" in text
    assert f"Transport = '{windows.BUILD_LISTENER}'" in text
    assert windows.BUILD_TOKEN_POLICY["path"] in text
    assert f"-Name '{windows.BUILD_TOKEN_POLICY['name']}'" in text
    assert traces["certificates"] == ["ab" * 32]
    assert traces.keys() <= Script.load("traces").read_parameters


def test_the_receiver_fits_into_a_command_line() -> None:
    assert windows.receiver().startswith("# imagebuild script: Receive-Files\n")
    assert len(windows.receiver()) < 6000
    assert len(base64.b64encode(windows.receiver().encode("utf-16-le"))) < 32767 - 1000


def test_the_receiver_closes_the_workplace_as_initialize_workplace_does() -> None:
    receiver, initialize = windows.receiver().lower(), Script.load("Initialize-Workplace").source.decode().lower()
    pattern = re.compile(LINES_OF_ICACLS.pattern.lower())
    assert len(pattern.findall(receiver)) == 3
    assert pattern.findall(receiver) == pattern.findall(initialize)


@pytest.mark.parametrize("name", ["Initialize-Workplace", "Receive-Files"])
def test_nothing_is_written_into_a_workplace_that_is_not_closed(name: str) -> None:
    text = Script.load(name).source.decode()
    closing = [
        text.index("'/inheritance:r'"),
        text.index("is still open to others"),
        text.index("somebody put files into"),
    ]
    writing = [
        text.index("Save-Stream $packed") if name == "Receive-Files" else text.index('$root\\scripts", "$root\\runs')
    ]
    assert max(closing) < min(writing)


def test_both_answer_in_the_same_words() -> None:
    prelude, receiver = Script.load("prelude").source.decode(), windows.receiver()
    for words in ("'@@RESULT '", "' @@'"):
        assert words in prelude
        assert words in receiver
    assert re.search(r'"ok":true,"value":\{"files":\[', receiver)
    assert re.search(r'"ok":false,"error":\{\{"message":\{0\},"type":\{1\},"where":\{2\},"hresult":null', receiver)


def test_what_stays_in_the_image_says_what_a_pool_understands() -> None:
    text = Script.load("Write-Membership").source.decode()
    words = set(re.findall(r"(?:return )?'(ok|broken|restart)'", text))
    told = {
        word: what_keeps_it_out({"name": "D", "domain": "c.e", "trust": word}, name="d", domain="c.e") for word in words
    }
    assert told.keys() == {"ok", "broken", "restart"}
    assert told["ok"] is None
    assert told["broken"] != told["restart"]
    assert '"$name domain=-"' in text
    assert "$line = 'member ' + (Get-Membership)" in text
    assert "echo imagebuild: $Text" in text
