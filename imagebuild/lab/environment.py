"""Installs releases into the services' environment: `python -m imagebuild.lab.environment ROOT NAME...`.

With uv, which needs seconds where pip needs two minutes; where uv cannot be had or does not get through (a package index that only
pip is set up for), with pip.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from imagebuild.lab.layout import CONSTRAINTS, Layout, digest_environment

STAMP = ".imagebuild-lab.json"


def read_installed(place: Layout) -> set[str] | None:
    """What was installed from today's constraints; None when the environment is absent, unfinished or made from others."""
    try:
        stamp = json.loads((place.venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return set(stamp["names"]) if stamp["digest"] == digest_environment() and place.python.exists() else None


def main(root: str, *names: str) -> int:
    """Make the environment when it is missing, install the names, give an exit code. What is installed is written down at the end."""
    place = Layout(Path(root))
    if not place.python.exists():
        _run([_base_python(), "-m", "venv", "--without-pip", str(place.venv)])
    if not _install(place, names):
        return 1
    stamp = {"digest": digest_environment(), "names": sorted({*names, *(read_installed(place) or ())})}
    part = place.venv / f"{STAMP}.new"
    part.write_text(json.dumps(stamp), encoding="utf-8")
    part.replace(place.venv / STAMP)
    return 0


def _base_python() -> str:
    """The interpreter below our own environment: environments are not made from environments."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _install(place: Layout, names: tuple[str, ...]) -> bool:
    constraints = ["-c", str(CONSTRAINTS)]
    pip = _find_pip(place)
    uv = _find_uv(place, pip)
    if uv and _run([uv, "pip", "install", "--python", str(place.python), *constraints, *names], uv=True) == 0:
        return True
    print("uv did not do it; trying pip", flush=True)
    return _run([*pip, "--python", str(place.python), "install", *constraints, *names]) == 0


def _find_pip(place: Layout) -> list[str]:
    """Our own environment's pip; where it has none (uv makes such environments) one of the lab's."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    python = place.bootstrap / "bin" / "python"
    if not python.exists():
        _run([_base_python(), "-m", "venv", str(place.bootstrap)])
    return [str(python), "-m", "pip"]


def _find_uv(place: Layout, pip: list[str]) -> str | None:
    """The lab's own uv, fetched when it is missing."""
    folder = place.bootstrap / "uv"
    uv = folder / "bin" / "uv"
    if not uv.exists():
        _run([*pip, "install", "-q", "--target", str(folder), "uv"])
    return str(uv) if uv.exists() else None


def _run(command: list[str], *, uv: bool = False) -> int:
    """Run a command; with `uv` in an environment where it trusts the machine's certificates and uses pip's own index, if one is set."""
    environment = dict(os.environ)
    if uv:
        environment["UV_NATIVE_TLS"] = "1"
        index = _ask_pip("global.index-url") or os.environ.get("PIP_INDEX_URL")
        if index:
            environment.setdefault("UV_DEFAULT_INDEX", index)
    return subprocess.run(command, env=environment, check=False).returncode


def _ask_pip(name: str) -> str:
    """A value of pip's settings, or nothing."""
    command = [sys.executable, "-m", "pip", "config", "get", name]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return asked.stdout.strip() if asked.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
