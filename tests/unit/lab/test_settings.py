"""The services' settings files: what oslo.config will read, and that they belong together."""

import configparser
from pathlib import Path

import pytest

from imagebuild.lab import configuration
from imagebuild.lab.layout import PORTS, Layout
from imagebuild.lab.place import Place
from imagebuild.secrets import Secret

PLACE = Place(Layout(Path("/lab")), Path("/lab/state"), Secret("s3cr%et$word"))


def read(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(default_section="no section is a default")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(configuration.render(configuration.make_settings(PLACE)[name]))
    return parser


def test_rendering_keeps_case_percent_signs_and_order() -> None:
    text = configuration.render({"DEFAULT": {"Name": "a%b", "number": 4}, "other": {"empty": ""}})
    assert text == "[DEFAULT]\nName = a%b\nnumber = 4\n\n[other]\nempty = \n\n"


@pytest.mark.parametrize("name", sorted(configuration.make_settings(PLACE)))
def test_every_service_has_its_own_log_and_databases_in_the_state(name: str) -> None:
    settings = read(name)
    assert settings["DEFAULT"]["log_dir"] == "/lab/logs"
    connections = [
        section["connection"] for section in map(settings.__getitem__, settings.sections()) if "connection" in section
    ]
    assert connections
    assert all(connection.startswith("sqlite:////lab/state/db/") for connection in connections)


def test_logs_and_databases_of_services_never_meet() -> None:
    every = [read(name) for name in configuration.make_settings(PLACE)]
    logs = [settings["DEFAULT"]["log_file"] for settings in every]
    databases = [
        settings[s]["connection"] for settings in every for s in settings.sections() if "connection" in settings[s]
    ]
    assert len(set(logs)) == len(logs)
    assert len(set(databases)) == len(databases)


def test_nova_never_uses_kvm_and_keeps_to_the_labs_own_libvirt() -> None:
    nova = read("nova.conf")
    assert nova["libvirt"]["virt_type"] == "qemu"
    assert nova["libvirt"]["cpu_mode"] == "none"
    assert nova["libvirt"]["connection_uri"] == "qemu:///system?socket=/lab/libvirt/run/libvirt-sock"


def test_quotas_are_real() -> None:
    assert int(read("nova.conf")["quota"]["instances"]) > 0
    assert int(read("cinder.conf")["DEFAULT"]["quota_volumes"]) > 0
    assert int(read("neutron.conf")["quotas"]["quota_port"]) > 0


def test_cinder_detaches_only_with_a_service_token_and_nova_sends_one() -> None:
    assert read("nova.conf")["service_user"]["send_service_user_token"] == "true"
    assert read("cinder.conf")["keystone_authtoken"]["service_token_roles_required"] == "true"


def test_the_password_is_the_same_everywhere_and_the_files_are_root_s_only(tmp_path: Path) -> None:
    configuration.write_settings(tmp_path / "conf", PLACE)
    files = sorted((tmp_path / "conf").iterdir())
    assert [file.name for file in files] == sorted(configuration.make_settings(PLACE))
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    for name in ("placement.conf", "glance-api.conf", "neutron.conf", "nova.conf", "cinder.conf"):
        assert read(name)["keystone_authtoken"]["password"] == "s3cr%et$word"


def test_ports_are_apart_from_those_of_a_usual_openstack() -> None:
    usual = {5000, 8774, 8776, 8778, 9292, 9696, 6080}
    assert {port - 20000 for port in PORTS.values()} == usual
    assert max(PORTS.values()) < 32768  # below the ports that the kernel hands out to clients
