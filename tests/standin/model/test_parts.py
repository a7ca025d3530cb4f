"""The parts below: store, files, registry, clock; and the scripts that no other test walks through."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from model_fakes import Bench

from imagebuild.lab.guest.standin.model.clock import Clock, Killed, Pause
from imagebuild.lab.guest.standin.model.files import Files
from imagebuild.lab.guest.standin.model.registry import Registry
from imagebuild.lab.guest.standin.model.store import Store


def test_a_change_is_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    store = Store(path)
    with store.change():
        store.section("a")["x"] = 1
        with store.change():
            store.section("a")["y"] = 2
        assert not path.exists(), "only the outermost writes"
    assert json.loads(path.read_text()) == {"a": {"x": 1, "y": 2}}
    assert Store(path).section("a") == {"x": 1, "y": 2}
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def test_files_whatever_the_case(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    disc.mkdir()
    (disc / "Setup.exe").write_text("x")
    files = Files(tmp_path / "c", lambda: {"VDI": disc, "AAA": tmp_path})
    files.write_text("C:\\Program Files\\A\\b.txt", "text")
    assert files.read_text("c:/program files/a/B.TXT") == "text"
    assert files.volumes() == {"D:": "AAA", "E:": "VDI"}
    assert files.read_text("e:\\SETUP.EXE") == "x"
    assert not files.exists("Z:\\x")
    assert files.locate("C:\\..\\..\\etc\\passwd") == tmp_path / "c" / "etc" / "passwd"
    with files.held_open("C:\\Program Files\\A\\b.txt"):
        files.write_text("C:\\Program Files\\A\\c.txt", "free")
        files.remove("C:\\Program Files")
        assert files.children("C:\\Program Files\\A") == ["b.txt"], "what is open stays, with its folders"
    files.remove("C:\\Program Files")
    assert files.children("C:\\") == []


def test_registry_keys_and_values(tmp_path: Path) -> None:
    registry = Registry(Store(tmp_path / "state.json"))
    registry.set("HKLM:\\SOFTWARE\\Vendor\\Tool", "Name", "x")
    assert registry.get("hklm:\\software\\VENDOR\\tool", "name") == "x"
    assert registry.has_key("HKLM:\\SOFTWARE\\Vendor")
    assert registry.subkeys("HKLM:\\SOFTWARE") == ["Vendor"]
    assert [registry.kind("HKLM:\\SOFTWARE\\Vendor\\Tool", name) for name in ("Name", "Other")] == ["String", None]
    registry.set("HKLM:\\SOFTWARE\\Vendor2", "Number", 1)
    assert registry.kind("HKLM:\\SOFTWARE\\Vendor2", "Number") == "DWord"
    assert registry.remove_key("HKLM:\\SOFTWARE\\Vendor")
    assert not registry.has_key("HKLM:\\SOFTWARE\\Vendor\\Tool") and registry.has_key("HKLM:\\SOFTWARE\\Vendor2")
    assert not registry.remove_value("HKLM:\\SOFTWARE\\Vendor2", "Nothing")


def test_the_real_clock_waits_and_can_be_stopped() -> None:
    clock = Clock()
    assert clock.wait(0.01) is True
    assert clock.wait(60, lambda: True) is False
    stopped = threading.Event()
    done = threading.Event()

    def work() -> None:
        with pytest.raises(Killed):
            Pause(clock, stopped.is_set).hang()
        done.set()

    clock.spawn("hanging", work)
    stopped.set()
    assert done.wait(10)


def test_desktop_settings_hold_and_are_safe_to_repeat(builder: Bench) -> None:
    first = builder.value("Set-Desktop", items="all")
    assert first["complete"] and first["reboot_needed"]
    assert {one["name"] for one in first["items"] if one["changed"]} >= {
        "power_plan",
        "no_hibernation",
        "no_scheduled_defrag",
    }
    again = builder.value("Set-Desktop", items="all")
    assert not any(one["changed"] for one in again["items"]) and not again["reboot_needed"]
    assert builder.script("Set-Desktop", items=["unknown"])["ok"] is False
    assert builder.script("Set-Desktop", items="all", time_servers=["bad name"])["ok"] is False


def test_remote_desktop(builder: Bench) -> None:
    assert builder.value("Get-CloneState")["rdp"] == {"enabled": False, "port": 3389, "listening": False}
    assert builder.value("Set-RemoteDesktop", members=["S-1-5-11", "Guest"])["changed"] == [
        "fDenyTSConnections",
        "UserAuthentication",
    ]
    again = builder.value("Set-RemoteDesktop", members=["S-1-5-11"])
    assert (again["changed"], again["members"]) == ([], [{"name": "S-1-5-11", "state": "already"}])
    assert builder.value("Get-CloneState")["rdp"] == {"enabled": True, "port": 3389, "listening": True}
    builder.value("Set-RemoteDesktop", enabled=False)
    assert builder.value("Get-CloneState")["rdp"]["listening"] is False


def test_the_workplace_is_made_once(bench: Bench) -> None:
    bench.boot()
    bench.send({"C:\\imagebuild\\scripts\\x": b"1"})
    bench.send_scripts()
    first = bench.value("Initialize-Workplace")
    assert (first["created"], first["acl_changed"]) == (["C:\\imagebuild\\runs"], False)
    assert bench.value("Initialize-Workplace")["created"] == []
    assert first["session"] == {"user_sid": f"{bench.guest.identity.sid}-500", "network_logon": True, "elevated": True}


def test_traces_are_found_removed_and_then_absent(builder: Bench) -> None:
    builder.guest.registry.set("HKLM:\\SOFTWARE\\Vendor", "Token", "secret")
    builder.guest.files.write_text("C:\\unattend.xml", "x")
    builder.guest.identity.set_password("builder", "x")
    given = {
        "account": "builder", "paths": ["C:\\imagebuild\\runs"], "listeners": ["HTTPS"], "firewall_rules": ["imagebuild-winrm"],
        "registry_values": [{"path": "HKLM:\\SOFTWARE\\Vendor", "name": "Token"}],
    }  # fmt: skip
    builder.guest.files.write_text("C:\\imagebuild\\runs\\x", "x")
    before = builder.value("Get-Traces", **given)
    assert {one["name"] for one in before["items"] if one["found"]} >= {
        "answer_files",
        "account",
        "paths",
        "listeners",
        "cloudbase_init",
    }
    assert "secret" not in json.dumps([one["found"] for one in before["items"]])
    assert builder.value("Clear-Traces", **given)["clean"]
    assert builder.value("Get-Traces", **given)["clean"]


@pytest.mark.parametrize(
    "given",
    [
        {"paths": ["C:\\Windows"]}, {"paths": ["C:\\"]}, {"paths": ["C:\\a\\..\\Windows"]}, {"account": "Administrator"},
        {"profile": "Public"}, {"certificates": ["xx"]}, {"listeners": ["ftp"]},
    ],
)  # fmt: skip
def test_what_must_never_be_removed_is_refused(builder: Bench, given: dict[str, object]) -> None:
    assert builder.script("Clear-Traces", **given)["ok"] is False


class _Server:
    """A file over HTTP on loopback, with ranges."""

    def __init__(self, content: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802 - the library's name
                start = int((self.headers["Range"] or "bytes=0-")[6:].rstrip("-"))
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                self.wfile.write(content[start:])

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/a file.bin"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def test_a_download_is_believed_by_its_checksum(builder: Bench) -> None:
    content = b"0123456789" * 5000
    wanted = hashlib.sha256(content).hexdigest()
    server = _Server(content)
    given = {"url": server.url, "path": "C:\\imagebuild\\d.bin", "sha256": wanted, "size_bytes": len(content)}
    try:
        builder.guest.files.write(f"C:\\imagebuild\\d.bin.{wanted[:12]}.part", content[:100])
        got = builder.value("Save-Download", **given)
        assert (got["state"], got["resumed_from_bytes"], got["http_status"]) == ("downloaded", 100, 206)
        assert builder.guest.files.read("C:\\imagebuild\\d.bin") == content
        assert builder.value("Save-Download", **given)["state"] == "present"
        other = builder.value("Save-Download", **(given | {"path": "C:\\o.bin", "sha256": "0" * 64}))
        assert (other["state"], other["attempts"]) == ("wrong_checksum", 1)
        assert (
            builder.value("Save-Download", **(given | {"path": "C:\\p.bin", "size_bytes": 5}))["state"] == "wrong_size"
        )
    finally:
        server.close()
    gone = builder.value("Save-Download", **(given | {"path": "C:\\q.bin", "attempts": 2}))
    assert (gone["state"], gone["attempts"], gone["http_status"]) == ("failed", 2, None)
