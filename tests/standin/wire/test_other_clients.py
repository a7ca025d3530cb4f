"""What other tools send over WinRM, against the whole stand-in (server and model) on loopback: Packer and Ansible."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuild.lab.guest.standin.listening import Listeners
from imagebuild.lab.guest.standin.windows import Windows
from imagebuild.waiting import Deadline, wait_for
from tests.contract.standin_process import HostMachine

pytestmark = pytest.mark.lab
USER, PASSWORD = "Administrator", "Passw0rd!"
TOOL_SECONDS = 60


class LoopbackMachine(HostMachine):
    """A machine that was booted by Nova with WinRM open for other tools, and that no client may switch off."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))
        self.lines: list[str] = []

    def console(self, text: str) -> None:
        self.lines.append(text)

    def metadata(self) -> dict[str, Any]:
        return {
            "uuid": "one",
            "hostname": "winbox",
            "admin_pass": PASSWORD,
            "meta": {"standin-listeners": "http,https"},
        }

    def user_data(self) -> bytes | None:
        return None

    def release_dhcp(self) -> None:
        raise AssertionError("no client asked for that")

    def reboot(self) -> None:
        raise AssertionError("no client asked for that")

    def power_off(self) -> None:
        raise AssertionError("no client asked for that")


@pytest.fixture
def machine() -> LoopbackMachine:
    return LoopbackMachine()


@pytest.fixture
def ports(machine: LoopbackMachine, tmp_path: Path) -> Iterator[dict[str, int]]:
    """Where the booted stand-in listens, once its start-up has set the password that Nova gave it."""
    windows = Windows(machine, tmp_path / "disk")
    assert windows.boot().stop_code is None
    windows.start("127.0.0.1")
    deadline = Deadline.after(30)
    wait_for(lambda: windows.listeners() == {"http", "https"} or None, "the listeners", deadline=deadline, every=0.05)
    wait_for(lambda: windows.password_of(USER) == PASSWORD or None, "the password", deadline=deadline, every=0.05)
    listeners = Listeners(windows, address="127.0.0.1", ports={"http": 0, "https": 0})
    listeners.follow()
    yield {"http": listeners.port("http") or 0, "https": listeners.port("https") or 0}
    listeners.close()


def run_tool(folder: Path, *command: str, **environment: str) -> str:
    """What the tool printed. Fails with it when the tool does."""
    tool = subprocess.Popen(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", "NO_PROXY": "*", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = tool.communicate(timeout=TOOL_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(tool.pid, signal.SIGKILL)  # Packer's plugins outlive it otherwise
    assert tool.returncode == 0, printed
    return printed


@pytest.fixture(scope="session")
def packer() -> str:
    """Debian's Packer, installed when it is not there: the test brings its own tools."""
    if shutil.which("packer") is None:
        root = [] if os.geteuid() == 0 else ["sudo"]
        quiet = {"check": True, "capture_output": True, "timeout": 300}
        subprocess.run([*root, "apt-get", "update", "-q"], **quiet)
        subprocess.run([*root, "apt-get", "install", "-y", "-q", "--no-install-recommends", "packer"], **quiet)
    return "packer"


@pytest.mark.parametrize("way", ["basic", "basic-tls", "ntlm", "ntlm-tls"])
def test_packer_runs_a_command_and_uploads_a_file(ports: dict[str, int], tmp_path: Path, packer: str, way: str) -> None:
    content = os.urandom(100_000)
    (tmp_path / "one.bin").write_bytes(content)
    tls = way.endswith("tls")
    builder = {
        "type": "null",
        "communicator": "winrm",
        "winrm_host": "127.0.0.1",
        "winrm_port": ports["https" if tls else "http"],
        "winrm_username": USER,
        "winrm_password": PASSWORD,
        "winrm_use_ssl": tls,
        "winrm_insecure": tls,
        "winrm_use_ntlm": way.startswith("ntlm"),
        "winrm_timeout": "30s",
    }
    provisioners = [
        {"type": "windows-shell", "inline": ["echo hello from packer", "hostname"]},
        {"type": "file", "source": str(tmp_path / "one.bin"), "destination": "C:/Windows/Temp/one.bin"},
    ]
    (tmp_path / "template.json").write_text(json.dumps({"builders": [builder], "provisioners": provisioners}))
    printed = run_tool(tmp_path, packer, "build", "-color=false", "template.json", CHECKPOINT_DISABLE="1")
    assert "hello from packer" in printed
    assert "WINBOX" in printed.upper()
    uploaded = [file for file in (tmp_path / "disk").rglob("*") if file.name.lower() == "one.bin"]
    assert [file.read_bytes() == content for file in uploaded] == [True]


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
@pytest.mark.parametrize("module", [["raw", "hostname"], ["win_ping"]])
def test_ansible_runs_a_command_and_its_ping(
    ports: dict[str, int], tmp_path: Path, transport: str, module: list[str]
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    # ansible-core brings no Windows modules; the stand-in runs none, it knows this one by its name
    (library / "win_ping.ps1").write_text("#!powershell\n#AnsibleRequires -CSharpUtil Ansible.Basic\n")
    inventory = {
        "all": {
            "hosts": {
                "guest": {
                    "ansible_host": "127.0.0.1",
                    "ansible_port": ports["http"],
                    "ansible_connection": "winrm",
                    "ansible_shell_type": "powershell",
                    "ansible_user": USER,
                    "ansible_password": PASSWORD,
                    "ansible_winrm_scheme": "http",
                    "ansible_winrm_transport": transport,
                }
            }
        }
    }
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    command = [
        str(Path(sys.prefix) / "bin" / "ansible"),
        "guest",
        "-i",
        "inventory.json",
        "-M",
        str(library),
        "-m",
        module[0],
    ]
    printed = run_tool(tmp_path, *command, *(["-a", module[1]] if module[1:] else []), ANSIBLE_NOCOLOR="1")
    assert ("WINBOX" in printed.upper()) if module[0] == "raw" else ('"ping": "pong"' in printed)
