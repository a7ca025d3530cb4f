"""Answer files and Cloudbase-Init's configuration: every Windows renders, every mistake is found before a clone finds it."""

import base64
import configparser
import string
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from imagebuild.answer_rules import find_answer_errors, find_configuration_errors
from imagebuild.answers import (
    AnswerSettings,
    OperatingSystem,
    obscure_password,
    read_settings,
    render_answer_file,
    render_cloudbase_configuration,
)
from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret, hide

TEMPLATES = Path(__file__).parents[2] / "unattend"
PASSWORD = Secret("Aa1-&<>\"'secret")
NS = "{urn:schemas-microsoft-com:unattend}"
EVERY_OS = get_args(OperatingSystem)


def settings(os: str = "win10", **values: Any) -> AnswerSettings:
    if os == "win11":
        values = {"admin_user": "vdi-admin", **values}
    return read_settings({"os": os, "locale": "ko-KR", "time_zone": "Korea Standard Time", **values})


def render(os: str = "win10", **values: Any) -> str:
    return render_answer_file(TEMPLATES, settings=settings(os, **values), password=PASSWORD)


def texts(document: str, tag: str) -> list[str]:
    root = ElementTree.fromstring(document.encode())  # noqa: S314
    return [element.text or "" for element in root.iter(f"{NS}{tag}")]


def components(document: str) -> list[tuple[str, str]]:
    root = ElementTree.fromstring(document.encode())  # noqa: S314
    return [
        (stage.get("pass", ""), component.get("name", ""))
        for stage in root.iter(f"{NS}settings")
        for component in stage.iter(f"{NS}component")
    ]


@pytest.mark.parametrize("os", EVERY_OS)
def test_every_windows_renders_and_keeps_the_rules(os: str) -> None:
    text = render(os, product_key="W269N-WFGWX-YVC9B-4J6C9-T83GX", organization="O", owner="P", skip_rearm=True)
    assert find_answer_errors(text, nt=settings(os).nt, architecture="amd64") == ()
    assert texts(text, "ComputerName") == []
    assert texts(text, "ProductKey") == ["W269N-WFGWX-YVC9B-4J6C9-T83GX"]
    assert texts(text, "SkipRearm") == ["1"]
    assert ("generalize", "Microsoft-Windows-PnpSysprep") in components(text)
    configuration = render_cloudbase_configuration(TEMPLATES, settings=settings(os))
    assert "WinRM" not in configuration.configuration + configuration.unattend_configuration


def test_windows_7_has_no_settings_of_later_windows() -> None:
    assert "HideOnlineAccountScreens" not in render("win7")
    assert texts(render("win7"), "NetworkLocation") == ["Work"]
    assert "FirstNetwork" not in render("win7")
    assert texts(render("ws2012r2"), "NetworkLocation") == ["Work"]
    assert "HideOnlineAccountScreens" in render("ws2012r2")
    assert "FirstNetwork" in render("ws2016")
    assert texts(render("ws2016"), "NetworkLocation") == []


def test_only_windows_11_is_told_to_leave_the_disk_unencrypted() -> None:
    assert [os for os in EVERY_OS if "PreventDeviceEncryption" in render(os)] == ["win11"]


def test_servers_do_not_open_their_manager_and_clients_have_none() -> None:
    assert [os for os in EVERY_OS if "DoNotOpenServerManager" in render(os)] == [
        os for os in EVERY_OS if os[0:2] == "ws"
    ]


def test_an_account_of_ones_own_is_made_and_the_built_in_one_is_not() -> None:
    own = render("win10", admin_user="vdi-admin")
    assert texts(own, "Name") == ["vdi-admin"]
    assert texts(own, "Group")[-1] == "Administrators"
    assert "SkipMachineOOBE" not in own
    built_in = render("win10")
    assert "LocalAccount>" not in built_in
    assert texts(built_in, "SkipMachineOOBE") == ["true"]
    assert "SkipMachineOOBE" not in render("ws2019")


def test_a_client_s_built_in_administrator_must_be_enabled_where_it_is_the_one_to_use() -> None:
    assert settings("win7").enables_administrator
    assert not settings("win7", admin_user="vdi-admin").enables_administrator
    assert not settings("ws2022").enables_administrator


def test_the_password_is_obscured_with_the_element_that_holds_it() -> None:
    text = render("win10", admin_user="vdi-admin")
    decoded = [base64.b64decode(value).decode("utf-16-le") for value in texts(text, "Value")]
    assert decoded == [PASSWORD.reveal() + "AdministratorPassword", PASSWORD.reveal() + "Password"]
    assert texts(text, "PlainText") == ["false", "false"]


def test_the_obscured_password_is_hidden_in_every_line_we_write() -> None:
    obscured = obscure_password(Secret("Aa1-other"), "Password")
    assert hide(f"<Value>{obscured.reveal()}</Value>") == "<Value>***</Value>"


@pytest.mark.parametrize("field", ["organization", "owner"])
def test_free_text_is_escaped(field: str) -> None:
    hostile = "R&D <\"한글\"> ]]> 'x'"
    tag = {"organization": "RegisteredOrganization", "owner": "RegisteredOwner"}[field]
    assert texts(render(**{field: hostile}), tag) == [hostile]


def test_every_other_field_refuses_what_would_need_escaping() -> None:
    for field in ("locale", "ui_language", "input_locale", "time_zone", "product_key", "admin_user", "metadata_url"):
        with pytest.raises(RecipeError) as caught:
            settings(**{field: "<&>"})
        assert [line for line in caught.value.details if line.startswith(field)], field


def test_korean_gets_its_input_method_and_others_their_own() -> None:
    assert texts(render(), "InputLocale")[0].startswith("0412:{A028AE76-01B1-46C2-99C4-ACD9858AE02F}")
    assert texts(render(locale="de-DE"), "InputLocale") == ["de-DE"]
    assert texts(render(input_locale="0409:00000409;ko-KR"), "InputLocale") == ["0409:00000409;ko-KR"]
    assert texts(render(ui_language="en-US"), "UILanguage") == ["en-US"]


def test_cloudbase_runs_in_specialize_only_where_wanted() -> None:
    assert any("cloudbase-init-unattend.conf" in path for path in texts(render("win7"), "Path"))
    without = render("win7", specialize_by_cloudbase=False)
    assert texts(without, "Path") == []
    assert ("specialize", "Microsoft-Windows-Deployment") not in components(without)


def test_remote_desktop_can_stay_closed() -> None:
    assert texts(render(), "fDenyTSConnections") == ["false"]
    assert texts(render(remote_desktop=False), "fDenyTSConnections") == []
    assert "FirewallAPI" not in render(remote_desktop=False)


def test_x86_is_said_in_every_component_and_only_where_there_is_one() -> None:
    text = render("win7", architecture="x86")
    assert 'processorArchitecture="x86"' in text
    assert "amd64" not in text
    with pytest.raises(RecipeError, match="settings are wrong") as caught:
        settings("ws2022", architecture="x86")
    assert "no x86 edition of ws2022" in caught.value.details[0]


def test_windows_11_wants_an_account_of_ones_own() -> None:
    with pytest.raises(RecipeError) as caught:
        settings("win11", admin_user="Administrator")
    assert "admin_user" in caught.value.details[0]


@pytest.mark.parametrize("name", ["Guest", "a/b", "한글", "x" * 21, "end.", "", "SYSTEM", "DOMAIN\\user"])
def test_account_names_that_windows_refuses(name: str) -> None:
    with pytest.raises(RecipeError):
        settings(admin_user=name)


def test_all_wrong_values_are_told_at_once_and_no_value_is_repeated() -> None:
    with pytest.raises(RecipeError) as caught:
        read_settings({"os": "winxp", "locale": "korean", "time_zone": "Seoul", "product_key": "my-secret-key", "x": 1})
    assert [line.split(":")[0] for line in caught.value.details] == ["os", "locale", "product_key", "x"]
    assert "my-secret-key" not in str(caught.value.details)


def test_settings_cannot_be_changed_and_survive_plain_data() -> None:
    made = settings(metadata=["http"])
    with pytest.raises(ValueError, match="frozen"):
        made.os = "win7"
    assert read_settings(made.model_dump(mode="json")) == made


@pytest.mark.parametrize("sources", [["http", "http"], [], ["ec2"]])
def test_metadata_sources_are_known_and_named_once(sources: list[str]) -> None:
    with pytest.raises(RecipeError):
        settings(metadata=sources)


@pytest.mark.parametrize("os", EVERY_OS)
@pytest.mark.parametrize("name", ["configuration", "unattend_configuration"])
def test_configuration_reads_as_cloudbase_reads_it(os: str, name: str) -> None:
    made = render_cloudbase_configuration(
        TEMPLATES, settings=settings(os, admin_user="a$b", metadata=["http", "configdrive"])
    )
    text = getattr(made, name)
    parser = configparser.ConfigParser(interpolation=None, default_section="none", strict=True)
    parser.read_string(text)
    options = parser["DEFAULT"]
    assert options["username"] == "a$$b"
    assert string.Template(options["username"]).substitute() == "a$b"
    assert options["metadata_services"].split(",")[0].endswith("HttpService")
    assert options["logging_serial_port_settings"] == "COM1,115200,N,8"
    assert parser["openstack"]["metadata_base_url"] == "http://169.254.169.254/"
    assert options.getboolean("allow_reboot") is (name == "configuration")


def test_without_a_serial_port_nothing_is_logged_there() -> None:
    made = render_cloudbase_configuration(TEMPLATES, settings=settings(serial_port=None))
    assert "logging_serial_port_settings" not in made.configuration + made.unattend_configuration


def test_a_missing_template_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"sysprep\.xml\.j2 is not in") as caught:
        render_answer_file(tmp_path, settings=settings(), password=PASSWORD)
    assert caught.value.hint


@pytest.mark.parametrize("source", ["{{ settings.no_such_thing }}", "{% if %}", "{{ unknown }}"])
def test_a_template_with_a_mistake_is_an_error_without_the_password(tmp_path: Path, source: str) -> None:
    (tmp_path / "sysprep.xml.j2").write_text(source)
    with pytest.raises(RecipeError, match="cannot be rendered") as caught:
        render_answer_file(tmp_path, settings=settings(), password=PASSWORD)
    assert PASSWORD.reveal() not in f"{caught.value} {caught.value.details}"


BAD_ANSWERS = {
    "no declaration": ('<?xml version="1.0" encoding="utf-8"?>', "", "must begin with an XML declaration"),
    "another encoding": ('encoding="utf-8"', 'encoding="euc-kr"', "must begin with an XML declaration"),
    "not well formed": ("</unattend>", "</unattended>", "no XML"),
    "another root": ("urn:schemas-microsoft-com:unattend", "urn:other", "instead of unattend"),
    "wrong pass": ('pass="generalize"', 'pass="windowsPE"', "belongs into generalize"),
    "a pass twice": ('pass="generalize"', 'pass="specialize"', "the pass specialize stands 2 times"),
    "unknown component": ("Microsoft-Windows-Security-SPP-UX", "Microsoft-Windows-Typo", "not a component"),
    "component twice": ("Microsoft-Windows-Security-SPP-UX", "Microsoft-Windows-Shell-Setup", "stands 2 times"),
    "architecture": ('processorArchitecture="amd64"', 'processorArchitecture="x86"', "but the image is amd64"),
    "token": ("31bf3856ad364e35", "31bf3856ad364e36", "publicKeyToken must be"),
    "computer name": ("<TimeZone>", "<ComputerName>PC1</ComputerName><TimeZone>", "every clone has one name"),
    "accounts in specialize": ("<TimeZone>", "<UserAccounts/><TimeZone>", "UserAccounts belongs into oobeSystem"),
    "later setting": ("<HideEULAPage>", "<HideOnlineAccountScreens/><HideEULAPage>", "unknown to Windows NT 6.1"),
    "long command": ("exit 2", "exit 2" + "x" * 99, "259 are read"),
    "same order": ("<RunSynchronous>", "<RunSynchronous><RunSynchronousCommand><Order>2</Order></RunSynchronousCommand>",
                   "two commands have order 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_each_rule_finds_its_mistake(case: str) -> None:
    old, new, words = BAD_ANSWERS[case]
    good = render("win7")
    assert old in good
    errors = find_answer_errors(good.replace(old, new, 1), nt=(6, 1), architecture="amd64")
    assert any(words in error for error in errors), errors


def test_a_template_that_breaks_a_rule_is_refused_with_all_reasons(tmp_path: Path) -> None:
    source = (TEMPLATES / "sysprep.xml.j2").read_text()
    broken = source.replace("<HideEULAPage>", "<HideOnlineAccountScreens/><HideEULAPage>").replace("PnpSysprep", "Pnp")
    (tmp_path / "sysprep.xml.j2").write_text(broken)
    with pytest.raises(RecipeError, match="would not work in Windows") as caught:
        render_answer_file(tmp_path, settings=settings("win7"), password=PASSWORD)
    assert len(caught.value.details) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[DEFAULT]\nplugins=a\nmetadata_services=b\npath=$HOME\n", "a lone $"),
        ("[DEFAULT]\nplugins=a\nmetadata_services=b\nuser=한글\n", "only ASCII"),
        ("[DEFAULT]\nplugins=a\n", "metadata_services is not set"),
        ("[other]\nplugins=a\n", "[DEFAULT] is missing"),
        ("[DEFAULT]\nplugins=a\nplugins=b\n", "cannot be read"),
        ("plugins=a\n", "cannot be read"),
    ],
)
def test_each_configuration_rule_finds_its_mistake(text: str, words: str) -> None:
    assert any(words in error for error in find_configuration_errors(text))


def test_a_doubled_dollar_is_no_mistake() -> None:
    assert find_configuration_errors("[DEFAULT]\nplugins=a\nmetadata_services=b\nuser=a$$b\n") == ()
