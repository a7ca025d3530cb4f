"""A machine, a clock and a WinRM call in memory, strict: what the model may not ask for raises, what it did can be read afterwards."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from imagebuild.lab.guest.standin.machine import Device
from imagebuild.lab.guest.standin.model.clock import Clock, never
from imagebuild.lab.guest.standin.windows import BootVerdict, Windows
from imagebuild.windows import bundle, user_data

BUILDER_MAC, CLONE_MAC = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
VIRTIO_DISK, VIRTIO_NIC = Device(0x1AF4, 0x1001), Device(0x1AF4, 0x1000)
POWERSHELL = "powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass"
ANSWER_FILE = (
    '<?xml version="1.0" encoding="utf-8"?><unattend xmlns="urn:schemas-microsoft-com:unattend">'
    '<settings pass="oobeSystem"><component name="x"><UserAccounts><AdministratorPassword><Value>from-answer-file</Value>'
    "</AdministratorPassword></UserAccounts></component></settings></unattend>"
)
START = datetime(2026, 1, 10, 10, 0, tzinfo=UTC)


class ManualClock(Clock):
    """Waiting moves time on at once; spawned work waits until the test runs it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.queue: list[tuple[str, Callable[[], None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def wait(self, seconds: float, stop: Callable[[], bool] = never) -> bool:
        if stop():
            return False
        self.seconds += seconds
        return not stop()

    def hang(self, stop: Callable[[], bool]) -> None:
        """A test must have arranged that `stop` comes: by a time limit, or by having stopped it."""
        for _ in range(10_000):
            if stop():
                return
            self.seconds += 1
        raise AssertionError("something hangs that nothing will ever end")

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        self.queue.append((name, work))

    def run(self, name: str = "") -> None:
        """Run what was spawned, in order; with a name only the first of that name."""
        while chosen := next((one for one in self.queue if one[0].startswith(name)), None):
            self.queue.remove(chosen)
            try:
                chosen[1]()
            except PoweredOff:
                self.queue.clear()
            if name:
                return


class PoweredOff(Exception):
    """The machine is off or starts again: nothing of this boot goes on."""


class FakeMachine:
    """The machine below; a test sets what is plugged in."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.lines: list[str] = []
        self.devices_present: tuple[Device, ...] = ()
        self.bus, self.card, self.card_mac = "ide", "e1000", BUILDER_MAC
        self.discs: dict[str, Path] = {}
        self.meta_data: dict[str, Any] = {}
        self.data: bytes | None = None
        self.own_address: str | None = None
        self.booted_at = 0.0
        self.released = 0
        self.left: str | None = None
        self.certificates_made = 0

    def console(self, text: str) -> None:
        self.lines.append(text)

    def uptime_seconds(self) -> float:
        return self._clock.seconds - self.booted_at

    def devices(self) -> tuple[Device, ...]:
        return self.devices_present

    def root_bus(self) -> str:
        return self.bus

    def nic(self) -> str | None:
        return self.card

    def mac(self) -> str | None:
        return self.card_mac

    def cdroms(self) -> dict[str, Path]:
        return self.discs

    def metadata(self) -> dict[str, Any]:
        return self.meta_data

    def user_data(self) -> bytes | None:
        return self.data

    def ask_dhcp(self, stale: str | None) -> str | None:
        self.own_address = stale or f"172.16.100.{int(self.card_mac[-2:], 16) + 10}"
        return self.own_address

    def release_dhcp(self) -> None:
        self.released += 1
        self.own_address = None

    def address(self) -> str | None:
        return self.own_address

    def make_certificate(self, common_name: str, folder: Path) -> tuple[Path, Path]:
        self.certificates_made += 1
        body = base64.b64encode(f"{common_name} {self.certificates_made}".encode()).decode()
        (folder / "certificate.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        (folder / "key.pem").write_text("a key")
        return folder / "certificate.pem", folder / "key.pem"

    def certificate_sha256(self, certificate: Path) -> str:
        return hashlib.sha256(base64.b64decode(certificate.read_text().splitlines()[1])).hexdigest()

    def reboot(self) -> None:
        self.left = "reboot"
        raise PoweredOff

    def power_off(self) -> None:
        self.left = "power off"
        raise PoweredOff


class FakeCall:
    """One command of a shell, with all its input given before."""

    def __init__(self, line: str, stdin: bytes = b"", codepage: int = 65001) -> None:
        self.line = line
        self.environment: dict[str, str] = {}
        self.codepage = codepage
        self.stdin: Iterator[bytes] = iter([stdin] if stdin else [])
        self.user = "Administrator"
        self.out = self.err = b""
        self.stop = False

    def stdout(self, text: bytes) -> None:
        self.out += text

    def stderr(self, text: bytes) -> None:
        self.err += text

    def stopped(self) -> bool:
        return self.stop


class Bench:
    """A modelled Windows on a fake machine, and the ways in which the pipeline talks to it."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk"
        self.clock = ManualClock()
        self.machine = FakeMachine(self.clock)
        self.machine.meta_data = {
            "uuid": "builder-1",
            "hostname": "builder-1.novalocal",
            "meta": {"admin_pass": "first-password"},
        }
        self.machine.data = user_data().encode()
        self.windows = Windows(self.machine, self.disk, clock=self.clock)

    @property
    def guest(self) -> Any:
        """The inside, for arranging what no script arranges."""
        return self.windows._guest

    def fault(self, *words: str) -> None:
        self.machine.meta_data["meta"]["standin-faults"] = ",".join(words)

    def boot(self, *, finish: bool = True) -> BootVerdict:
        """Start the machine with the disk as it is; with `finish` also everything that it then does by itself."""
        self.clock.queue.clear()
        self.clock.seconds += 10
        self.machine.booted_at = self.clock.seconds
        self.clock.seconds += 5
        self.machine.left = self.machine.own_address = None
        self.windows = Windows(self.machine, self.disk, clock=self.clock)
        verdict = self.windows.boot()
        if verdict.stop_code is None:
            address = self.machine.ask_dhcp(verdict.stale_address) if verdict.network else None
            self.windows.start(address)
            if finish:
                self.clock.run()
        return verdict

    def become_clone(self, number: int = 2) -> None:
        """What the cloud changes when the same disk is booted as another server on virtio."""
        self.machine.bus, self.machine.card = "virtio", "virtio"
        self.machine.card_mac = f"fa:16:3e:00:00:{number:02x}"
        self.machine.devices_present = (VIRTIO_DISK, VIRTIO_NIC)
        self.machine.discs = {}
        self.machine.meta_data = {
            "uuid": f"clone-{number}",
            "hostname": f"clone-{number}",
            "meta": {"admin_pass": f"password-{number}"},
        }
        self.machine.data = None

    def run(self, line: str, stdin: bytes = b"") -> tuple[int, str, str]:
        call = FakeCall(line, stdin)
        code = self.windows.run(call)
        return code, call.out.decode(), call.err.decode()

    def send(self, files: dict[str, bytes]) -> dict[str, Any]:
        """Files by the receiver's protocol."""
        listed = [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in files.items()
        ]
        lines = [base64.b64encode(json.dumps({"files": listed, "gzip": True}).encode())]
        packed = gzip.compress(b"".join(files.values()))
        lines += [base64.b64encode(packed[start : start + 3000]) for start in range(0, len(packed), 3000)]
        text = "# imagebuild script: Receive-Files\n"
        encoded = base64.b64encode(text.encode("utf-16-le")).decode()
        code, out, error = self.run(
            f"powershell.exe -NoProfile -NonInteractive -EncodedCommand {encoded}", b"\r\n".join(lines) + b"\r\n"
        )
        assert (code, error) == (0, "")
        return read_result(out)

    def send_scripts(self) -> None:
        answer = self.send({f"C:\\imagebuild\\scripts\\{name}": content for name, content in bundle().items()})
        assert answer["ok"], answer

    def script(self, name: str, **parameters: Any) -> dict[str, Any]:
        """A guest script in the session; its whole result."""
        code, out, error = self.run(
            f"{POWERSHELL} -InputFormat None -File C:\\imagebuild\\scripts\\{name}.ps1",
            base64.b64encode(json.dumps(parameters).encode()) + b"\n",
        )
        assert (code, error) == (0, ""), (code, out, error)
        return read_result(out)

    def value(self, name: str, **parameters: Any) -> Any:
        answer = self.script(name, **parameters)
        assert answer["ok"], answer
        return answer["value"]

    def job(self, name: str, job_id: str = "job", *, timeout_seconds: int = 0, **parameters: Any) -> dict[str, Any]:
        """A guest script as SYSTEM, run to its end; what Get-SystemJob says of it then."""
        self.value("Start-SystemJob", id=job_id, script=name, parameters=parameters, timeout_seconds=timeout_seconds)
        self.clock.run(f"task imagebuild-{job_id}")
        found: dict[str, Any] = self.value("Get-SystemJob", id=job_id)
        self.value("Stop-SystemJob", id=job_id, remove=True)
        return found

    def job_value(self, name: str, **parameters: Any) -> Any:
        found = self.job(name, **parameters)
        assert found["state"] == "finished" and found["result"]["ok"], found
        return found["result"]["value"]

    def value_of_state(self) -> str:
        state: str = self.guest.sysprep.state().image_state
        return state

    def value_of_workplace(self) -> bool:
        return bool(self.guest.store.section("workplace").get("private"))

    def restart(self) -> BootVerdict:
        """Restart-Guest, its countdown, and the next boot."""
        self.value("Restart-Guest", reason="test")
        self.clock.run("shutdown")
        assert self.machine.left == "reboot"
        return self.boot()


def read_result(out: str) -> dict[str, Any]:
    """The one result line of a script, with the steps before it as `steps`."""
    results = [line for line in out.splitlines() if line.startswith("@@RESULT ")]
    assert len(results) == 1, out
    steps = [base64.b64decode(line.split()[1]).decode() for line in out.splitlines() if line.startswith("@@STEP ")]
    found: dict[str, Any] = json.loads(base64.b64decode(results[0].split()[1]))
    return found | {"steps": steps}


def make_virtio_cd(folder: Path) -> Path:
    """The layout of the driver CD, with text for files."""
    for name, inf in (("viostor", "viostor"), ("NetKVM", "netkvm"), ("Balloon", "balloon"), ("vioserial", "vioser")):
        for system in ("w7", "w10"):
            place = folder / name / system / "amd64"
            place.mkdir(parents=True)
            (place / f"{inf}.inf").write_text(
                f"[Version]\nClass=x\nCatalogFile={inf}.cat\nDriverVer=06/07/2019,61.77.104.17200\n; {inf}\n"
            )
            (place / f"{inf}.cat").write_text("catalogue")
            (place / f"{inf}.sys").write_text("driver")
    return folder


def make_installer(product: str = "Leostream Agent (stand-in)", **keys: object) -> bytes:
    lines = [
        "#!imagebuild stand-in installer",
        f"product={product}",
        *(f"{key}={value}" for key, value in keys.items()),
    ]
    return ("\n".join(lines) + "\n").encode()
