"""Programs: what an installer file of the stand-in does when it is run, and what it leaves in the uninstall keys and services."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from imagebuild.lab.guest.standin.model.clock import Pause
from imagebuild.lab.guest.standin.model.faults import Faults
from imagebuild.lab.guest.standin.model.files import Files, leaf
from imagebuild.lab.guest.standin.model.registry import SERVICING, UNINSTALL, Registry
from imagebuild.lab.guest.standin.model.services import Services

HEADER = "#!imagebuild stand-in installer"
FATAL, BUSY, NO_PACKAGE, BAD_EXE, SUCCESS, REBOOT = 1603, 1618, 1620, 193, 0, 3010
INSTALL_SECONDS = 0.5
WORKS_WITH = (SUCCESS, REBOOT, 1641)


class Installer(NamedTuple):
    """The `key=value` lines of an installer file."""

    product: str
    version: str
    kind: str
    exit_code: int
    service: str
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where the program's files go."""
        return f"C:\\Program Files\\{self.product}"


def read_installer(content: bytes) -> Installer | None:
    """The installer in a file, or None for anything else. A value that is no number where one belongs is a ValueError."""
    lines = content.decode("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != HEADER:
        return None
    pairs = (line.partition("=") for line in lines[1:] if "=" in line and not line.startswith("#"))
    keys = {name.strip(): value.strip() for name, _, value in pairs}
    return Installer(
        product=keys["product"],
        version=keys.get("version", "1.0.0"),
        kind=keys.get("kind", "exe"),
        exit_code=int(keys.get("exit_code", "0")),
        service=keys.get("service", ""),
        files=tuple(name for name in keys.get("files", "").replace(",", ";").split(";") if name.strip()),
    )


class Programs:
    """Runs installers one after the other, as the Windows Installer does."""

    def __init__(self, files: Files, registry: Registry, services: Services, faults: Faults) -> None:
        self._files = files
        self._registry = registry
        self._services = services
        self._faults = faults
        self._attempts = 0

    def run(self, path: str, *, kind: str, log: str, pause: Pause) -> int:
        """Run an installer file with msiexec.exe (kind msi) or by itself; its exit code. BAD_EXE: Windows cannot start it at all."""
        installer = read_installer(self._files.read(path))
        if installer is None or installer.kind != kind:
            return NO_PACKAGE if kind == "msi" else BAD_EXE
        self._attempts += 1
        pause.wait(INSTALL_SECONDS)
        code = self._code_of(installer)
        if code in WORKS_WITH:
            self._install(installer)
        if code == REBOOT:
            self._registry.make_key(SERVICING + "\\RebootPending")
        if log:
            self._files.write(log, _log_text(path, installer, code))
        return code

    def _code_of(self, installer: Installer) -> int:
        if "agent-exit-1603" in self._faults:
            return FATAL
        if "agent-busy-1618" in self._faults and self._attempts == 1:
            return BUSY
        if "agent-needs-reboot-3010" in self._faults and installer.exit_code == SUCCESS:
            return REBOOT
        return installer.exit_code

    def _install(self, installer: Installer) -> None:
        key = f"{UNINSTALL}\\{product_code(installer.product)}"
        for name, value in (
            ("DisplayName", installer.product),
            ("DisplayVersion", installer.version),
            ("Publisher", "imagebuild stand-in"),
            ("WindowsInstaller", 1 if installer.kind == "msi" else 0),
        ):
            self._registry.set(key, name, value)
        program = f"{installer.folder}\\{installer.service or installer.product}.exe"
        for file in (program, *(f"{installer.folder}\\{name.strip()}" for name in installer.files)):
            self._files.write_text(file, f"imagebuild stand-in, not a program\nversion={installer.version}\n")
        if installer.service and self._services.find(installer.service) is None:
            self._services.add(installer.service, start_mode="Auto", path=f'"{program}"')
            self._services.start(installer.service)


def product_code(product: str) -> str:
    """The same for every version of a product, unlike an MSI's: the stand-in replaces, it does not keep two."""
    digest = hashlib.sha256(product.encode()).hexdigest().upper()
    return f"{{{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}}}"


def file_version(text: str) -> str:
    """The version of a file that the stand-in installed, in four numbers; 0.0.0.0 of any other."""
    version = next((line[8:].strip() for line in text.splitlines() if line.startswith("version=")), "0")
    return ".".join((version.split(".") + ["0", "0", "0"])[:4])


def _log_text(path: str, installer: Installer, code: int) -> bytes:
    """A log as msiexec.exe writes it: UTF-16 with a mark, a line that ends in 3. where the installation broke."""
    broken = code not in WORKS_WITH
    lines = [f"=== stand-in installation of {leaf(path)}: {installer.product} {installer.version} ==="]
    lines += ["Action start: InstallFiles.", f"Action ended: InstallFiles. Return value {3 if broken else 1}."]
    lines.append(f"MainEngineThread is returning {code}")
    return ("\r\n".join(lines) + "\r\n").encode("utf-16")
