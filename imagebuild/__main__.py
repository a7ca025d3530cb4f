"""`python3 -m imagebuild TASK ...` on a fresh clone: makes .venv beside this package, installs the tool, runs `invoke TASK ...` in it.

Only the standard library is used here: nothing else is installed yet.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
STAMP = VENV / "imagebuild-installed"
OLDEST = (3, 11)


def main(arguments: list[str]) -> int:
    """Install what is missing, then become invoke. Ends only when that cannot be done."""
    if sys.version_info < OLDEST:
        print(
            f"imagebuild needs Python {OLDEST[0]}.{OLDEST[1]} or later; this is {sys.version.split()[0]}",
            file=sys.stderr,
        )
        return 1
    wanted = _wanted(tests=arguments[:1] == ["test"])
    try:
        if not STAMP.exists() or STAMP.read_text() != wanted:
            _install(wanted, tests=arguments[:1] == ["test"])
    except subprocess.CalledProcessError as error:
        print(
            f"imagebuild could not be installed: `{' '.join(error.cmd)}` ended with {error.returncode}", file=sys.stderr
        )
        return 1
    os.chdir(PROJECT)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return os.execv(VENV / "bin" / "invoke", ["invoke", *(arguments or ["--list"])])  # noqa: S606  no shell is the point


def _wanted(*, tests: bool) -> str:
    """What the environment must have been made from: a change of it is a new installation."""
    digest = hashlib.sha256((PROJECT / "pyproject.toml").read_bytes()).hexdigest()
    had_tests = STAMP.exists() and STAMP.read_text().endswith("+tests")
    return digest + ("+tests" if tests or had_tests else "")


def _install(wanted: str, *, tests: bool) -> None:
    print(f"installing imagebuild into {VENV.name} ...", flush=True)
    if not (VENV / "bin" / "pip").exists():
        _make_environment()
    extra = "[dev]" if tests or wanted.endswith("+tests") else ""
    subprocess.run([VENV / "bin" / "pip", "install", "-qq", "--editable", f"{PROJECT}{extra}"], check=True)
    STAMP.write_text(wanted)


def _make_environment() -> None:
    """Debian splits venv off its Python: install that package, as root or through sudo, when it is not there."""
    made = subprocess.run([sys.executable, "-m", "venv", VENV], check=False, capture_output=True, text=True)
    if made.returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    root = [] if os.geteuid() == 0 else ["sudo"]
    print(f"installing the Debian package {package}{' (sudo asks for your password)' if root else ''} ...", flush=True)
    subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
    subprocess.run([*root, "apt-get", "install", "-qq", "-y", package], check=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
