"""What the lab needs from outside: Debian packages, and the services' Python environment from pinned releases."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.lab import broker_settings, environment, layout
from imagebuild.lab.guest.image import host_packages
from imagebuild.lab.jobs import Job
from imagebuild.lab.layout import Layout

DEBIAN = (
    "dnsmasq-base",
    "gcc",
    "genisoimage",
    "iproute2",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-dev",
    "pkg-config",
    "qemu-system-x86",
    "qemu-utils",
    "util-linux",
)
SERVICES = (
    "cheroot",
    "cinder",
    "glance",
    "keystone",
    "neutron",
    "nova",
    "openstack-placement",
    "python-openstackclient",
)
QUERY_SECONDS = 60
BINDING = ("libvirt-python",)
APT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def find_missing_packages() -> list[str]:
    """The Debian packages that the lab needs and this machine does not have."""
    wanted = sorted({*DEBIAN, *host_packages(), *_headers()})
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", *wanted]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, check=False, timeout=QUERY_SECONDS)
    except FileNotFoundError as error:
        raise LabError(
            "this is not a Debian machine: dpkg-query is missing", hint="the lab runs on Debian 12"
        ) from error
    present = {line.split()[1] for line in shown.stdout.splitlines() if line.startswith("installed ")}
    return [name for name in wanted if name not in present]


def _headers() -> tuple[str, ...]:
    """libvirt's Python binding is compiled: Debian's own interpreter has its headers in a package of their own."""
    if Path(sysconfig.get_path("include"), "Python.h").exists():
        return ()
    return (f"python{sys.version_info.major}.{sys.version_info.minor}-dev",)


def plan_packages(missing: list[str]) -> list[Job]:
    """The jobs that install Debian packages. apt's lists are fetched only when they are absent or do not know a package."""
    if not missing:
        return []
    jobs = []
    if _is_apt_interrupted():
        jobs.append(Job("dpkg", ["dpkg", "--configure", "-a"], environment=APT))
    simulated = subprocess.run(
        ["apt-get", "install", "--simulate", "--no-install-recommends", *missing],
        capture_output=True,
        check=False,
        timeout=QUERY_SECONDS,
    )
    if simulated.returncode or not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        jobs.append(Job("apt-lists", ["apt-get", "update", "-q"], needs=tuple(j.name for j in jobs), environment=APT))
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *missing]
    jobs.append(Job("debian-packages", install, needs=tuple(j.name for j in jobs), environment=APT))
    return jobs


def _is_apt_interrupted() -> bool:
    """dpkg keeps its unfinished business in this folder; an install that was killed must be finished first."""
    return any(Path("/var/lib/dpkg/updates").glob("[0-9]*"))


def plan_environment(place: Layout) -> list[Job]:
    """The jobs that make the services' environment from today's constraints, as far as it is not there."""
    installed = environment.read_installed(place)
    if installed is None:
        shutil.rmtree(place.venv, ignore_errors=True)
    command = [sys.executable, "-m", "imagebuild.lab.environment", str(place.root)]
    jobs = (
        ("services-environment", SERVICES, (), False),  # waits for the network more than for a core
        ("libvirt-binding", BINDING, ("services-environment", "debian-packages"), True),
    )
    return [
        Job(name, [*command, *wanted], needs=needs, heavy=heavy)
        for name, wanted, needs, heavy in jobs
        if not set(wanted) <= (installed or set())
    ]


def copy_broker(place: Layout) -> None:
    """Put the stand-in broker where its service runs it from; what older versions left goes."""
    wanted = broker_settings.code_of(place)
    if wanted.exists():
        return
    part = place.root / "broker-code.new"
    shutil.rmtree(part, ignore_errors=True)
    for path in broker_settings.find_code():
        target = part / "imagebuild" / path.relative_to(layout.SOURCE.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for old in place.root.glob("broker-code-*"):
        shutil.rmtree(old)
    part.rename(wanted)


def copy_code(place: Layout) -> None:
    """Put the services' own code where they run it from."""
    part = place.code.with_name("code.new")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(layout.SERVICES, part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(place.code, ignore_errors=True)
    part.rename(place.code)
