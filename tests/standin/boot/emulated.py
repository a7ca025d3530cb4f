"""Starts the stand-in's image in QEMU under TCG, without any cloud: user networking, serial console in a file."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IDENTIFY = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    "<s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
)
HARDWARE = {
    "ide": ["-M", "pc", "-device", "ide-hd,drive=root,bus=ide.0", "-device", "e1000,netdev=net"],
    "sata": ["-M", "q35", "-device", "ide-hd,drive=root,bus=ide.0", "-device", "e1000e,netdev=net"],
    "virtio": ["-M", "pc", "-device", "virtio-blk-pci,drive=root", "-device", "virtio-net-pci,netdev=net"],
}


@dataclass
class Guest:
    """A running guest. `port` forwards to its WinRM over HTTP, `tls_port` to the one over HTTPS."""

    process: subprocess.Popen[bytes]
    serial: Path
    port: int
    tls_port: int
    monitor: Path
    begun: float

    def console(self) -> str:
        """What it has printed on its serial console."""
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def seconds(self) -> float:
        """Since QEMU was started."""
        return time.monotonic() - self.begun

    def press_power_button(self) -> None:
        """What Nova's stop does."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.monitor))
            stream = control.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                stream.readline()

    def identify(self) -> bytes | None:
        """The answer to Identify, or None as long as nobody answers."""
        request = (
            "POST /wsman HTTP/1.1\r\nHost: guest\r\nWSMANIDENTIFY: unauthenticated\r\n"
            f"Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {len(IDENTIFY)}\r\n\r\n{IDENTIFY}"
        )
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(0.5)  # QEMU's forwarding always connects: only an answer counts
                connection.sendall(request.encode())
                return connection.recv(65536) or None
        except OSError:
            return None


def _free_ports() -> tuple[int, int]:
    """Two that differ: both are held until both are known."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def started(
    disk: Path, hardware: str, folder: Path, *, discs: tuple[Path, ...] = (), spare_disk: bool = False
) -> Iterator[Guest]:
    """A guest that boots from `disk` (raw, written to) on that hardware; ended on leaving.

    `spare_disk` adds an empty disk on virtio, as the builder of an image has one.
    """
    folder.mkdir(exist_ok=True)
    guest_files = folder / "serial.log", folder / "monitor"
    port, tls_port = _free_ports()
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-vga", "std", "-display", "none"]
    command += ["-drive", f"id=root,file={disk},format=raw,if=none,cache=unsafe", "-serial", f"file:{guest_files[0]}"]
    forward = f"hostfwd=tcp:127.0.0.1:{port}-:5985,hostfwd=tcp:127.0.0.1:{tls_port}-:5986"
    command += ["-netdev", f"user,id=net,{forward}", "-qmp", f"unix:{guest_files[1]},server=on,wait=off"]
    for number, disc in enumerate(discs):
        command += ["-drive", f"id=cd{number},file={disc},format=raw,if=none,media=cdrom,readonly=on"]
        bus = "ide.1" if hardware != "sata" else f"ide.{number + 1}"
        unit = f",unit={number}" if hardware != "sata" else ""
        command += ["-device", f"ide-cd,drive=cd{number},bus={bus}{unit}"]
    if spare_disk:
        spare = folder / "spare.raw"
        with spare.open("wb") as file:
            file.truncate(1 << 20)
        command += ["-drive", f"id=spare,file={spare},format=raw,if=none", "-device", "virtio-blk-pci,drive=spare"]
    process = subprocess.Popen([*command, *HARDWARE[hardware]], stdin=subprocess.DEVNULL)
    try:
        yield Guest(process, guest_files[0], port, tls_port, guest_files[1], time.monotonic())
    finally:
        process.terminate()
        process.wait(timeout=20)


def make_config_drive(folder: Path, *, meta_data: dict[str, object], user_data: str | None = None) -> Path:
    """A config drive as Nova makes it: an ISO with the label config-2."""
    latest = folder / "config" / "openstack" / "latest"
    latest.mkdir(parents=True)
    (latest / "meta_data.json").write_text(json.dumps(meta_data))
    if user_data is not None:
        (latest / "user_data").write_text(user_data)
    target = folder / "config.iso"
    command = ["genisoimage", "-quiet", "-J", "-r", "-ldots", "-allow-lowercase", "-allow-multidot", "-l"]
    subprocess.run([*command, "-V", "config-2", "-o", target, folder / "config"], check=True, timeout=30)
    return target
