"""Where everything of the lab is: folders, ports, names, and the digest that tells which version of the lab made a state."""

import functools
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent
ROOT_VARIABLE = "IMAGEBUILD_LAB_ROOT"
DEFAULT_ROOT = Path("/var/lib/imagebuild-lab")
CONSTRAINTS = SOURCE / "constraints.txt"
SERVICES = SOURCE / "services"

CLOUD = "imagebuild-lab"
ADMIN_CLOUD = "imagebuild-lab-admin"
REGION = "lab"
ZONE = "lab"
FAKE_ZONE = "fake"
HOST = "lab"
PROJECT = "vdi"
USER = "builder"
NETWORK = "vdi-network"
SUBNET = "172.16.100.0/24"
GATEWAY = "172.16.100.1"
FIRST_ADDRESS, LAST_ADDRESS = "172.16.100.10", "172.16.100.254"

# The usual port of each service plus 20000, so that a DevStack or a registry on the same machine is not in the way.
PORTS = {
    "keystone": 25000,
    "placement": 28778,
    "glance": 29292,
    "neutron": 29696,
    "nova": 28774,
    "cinder": 28776,
    "console": 26080,
}
VNC_PORTS = (25900, 26079)

# What a state on disk depends on: when one of these changes, it is made anew. All else of the lab may change over a state.
SHAPING = ("constraints.txt", "databases.py", "layout.py")
SHAPING_SERVICES = ("identity.py", "schema.py")


def url_of(service: str, path: str = "") -> str:
    """The address of a service's API."""
    return f"http://127.0.0.1:{PORTS[service]}{path}"


@dataclass(frozen=True)
class Layout:
    """The lab's folders below one root."""

    root: Path

    @property
    def bootstrap(self) -> Path:
        """Small environment that installs the other one."""
        return self.root / "bootstrap"

    @property
    def venv(self) -> Path:
        """The services' environment; the tool's dependencies never meet it."""
        return self.root / "venv"

    @property
    def python(self) -> Path:
        """The services' interpreter."""
        return self.venv / "bin" / "python"

    @property
    def code(self) -> Path:
        """A copy of the services' own code: editing the tool's source does not change a running lab."""
        return self.root / "code"

    @property
    def conf(self) -> Path:
        """The services' settings files."""
        return self.root / "conf"

    @property
    def run(self) -> Path:
        """What concerns running processes only."""
        return self.root / "run"

    @property
    def dhcp(self) -> Path:
        """dnsmasq's files. It reads them as an ordinary user, which the state's folder does not let in."""
        return self.run / "dhcp"

    @property
    def logs(self) -> Path:
        """Every log."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """Databases, images, disks, volumes: what a lab is. Made whole or not at all."""
        return self.root / "state"

    @property
    def templates(self) -> Path:
        """Migrated databases, by digest."""
        return self.root / "templates"

    @property
    def cache(self) -> Path:
        """Guest images and media, made once."""
        return self.root / "cache"

    @property
    def web(self) -> Path:
        """The console proxy's pages: none."""
        return self.root / "web"

    @property
    def libvirt(self) -> Path:
        """The folders that libvirtd takes for /etc/libvirt, /run/libvirt and so on."""
        return self.root / "libvirt"

    @property
    def libvirt_socket(self) -> Path:
        """Where the lab's libvirtd listens."""
        return self.libvirt / "run" / "libvirt-sock"

    @property
    def libvirt_uri(self) -> str:
        """How to reach the lab's libvirtd."""
        return f"qemu:///system?socket={self.libvirt_socket}"

    @property
    def clouds_yaml(self) -> Path:
        """Credentials for any OpenStack client."""
        return self.root / "clouds.yaml"

    @property
    def mark(self) -> str:
        """What network devices and processes of this lab carry, so that they are found again."""
        return f"imagebuild-lab:{self.root}"


def find_layout() -> Layout:
    """The lab of this machine, or the one that the environment names."""
    return Layout(Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).resolve())


def digest_files(paths: list[Path], *more: str) -> str:
    """A short digest of files (names and contents) and further words."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for word in more:
        total.update(f"\0{word}".encode())
    return total.hexdigest()[:16]


def find_services_files() -> list[Path]:
    """The files of the services' own code."""
    return [p for p in SERVICES.rglob("*") if p.is_file() and p.suffix != ".pyc"]


@functools.cache  # a process is of one version, also while somebody edits the source
def digest_environment() -> str:
    """Changes when the services' environment must be made anew."""
    return digest_files([CONSTRAINTS], f"{sys.version_info.major}.{sys.version_info.minor}")


@functools.cache
def digest_code() -> str:
    """Changes when a running lab must be started anew, on newer code or other settings."""
    ours = [path for path in SOURCE.glob("*.py") if path.stem.endswith(("settings", "configuration", "place", "plan"))]
    return digest_files(ours + find_services_files(), digest_environment())


@functools.cache
def digest_state(root: Path) -> str:
    """Changes when a state made before can no longer be used."""
    services = [path for path in find_services_files() if path.name in SHAPING_SERVICES]
    return digest_files([SOURCE / name for name in SHAPING] + services, digest_environment(), str(root))
