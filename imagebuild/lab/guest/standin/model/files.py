"""The drives of the modelled Windows: C: is a real folder tree on the root disk, CDs are where the machine mounted them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SYSTEM_DRIVE = "C:"
WINDOWS = "C:\\Windows"
PLACES = {
    "systemdrive": SYSTEM_DRIVE,
    "systemroot": WINDOWS,
    "windir": WINDOWS,
    "temp": WINDOWS + "\\Temp",
    "tmp": WINDOWS + "\\Temp",
    "programfiles": "C:\\Program Files",
    "programdata": "C:\\ProgramData",
}
FIRST_CD = ord("D")


def expand(text: str, extra: Mapping[str, str] | None = None) -> str:
    """Replace %NAME% as cmd.exe does; a name that nobody knows stays as it is."""
    known = PLACES | {name.lower(): value for name, value in (extra or {}).items()}
    return re.sub(r"%([^%]+)%", lambda found: known.get(found[1].lower(), found[0]), text)


def leaf(path: str) -> str:
    """The last part of a Windows path."""
    return path.rstrip("\\").rsplit("\\", 1)[-1]


class Files:
    """Files by their Windows paths, whatever the case of the letters; forward slashes are taken as Windows takes them."""

    def __init__(self, root: Path, cdroms: Callable[[], Mapping[str, Path]]) -> None:
        self._root = root
        self._cdroms = cdroms
        self._held: set[Path] = set()
        root.mkdir(parents=True, exist_ok=True)

    def volumes(self) -> dict[str, str]:
        """Drive letter with colon -> volume label, for the CDs."""
        return {f"{chr(FIRST_CD + number)}:": label for number, label in enumerate(sorted(self._cdroms()))}

    def locate(self, path: str) -> Path:
        """Where a Windows path lies on this machine, existing or not; FileNotFoundError for a drive that is not there."""
        drive, parts = _split(path)
        if drive == SYSTEM_DRIVE:
            place = self._root
        else:
            label = self.volumes().get(drive)
            if label is None:
                raise FileNotFoundError(f"there is no drive {drive}")
            place = self._cdroms()[label]
        for part in parts:
            place = _find_child(place, part)
        return place

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that path."""
        try:
            return self.locate(path).exists()
        except OSError:  # no such drive, or a name that no file can have
            return False

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of that path."""
        return self.exists(path) and self.locate(path).is_dir()

    def make_folder(self, path: str) -> None:
        """Make a folder and all above it; one that exists is left alone."""
        self.locate(path).mkdir(parents=True, exist_ok=True)

    def children(self, path: str) -> list[str]:
        """Names in a folder, in order; none for a folder that is not there."""
        return sorted(child.name for child in self.locate(path).iterdir()) if self.is_folder(path) else []

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        return self.locate(path).read_bytes()

    def read_text(self, path: str) -> str:
        """The text of a file: UTF-8, with or without a mark; what is no UTF-8 becomes U+FFFD."""
        return self.read(path).decode("utf-8-sig", "replace")

    def write(self, path: str, content: bytes) -> None:
        """Atomic: readers see the old file or the whole new one."""
        target = self.locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        part.replace(target)

    def write_text(self, path: str, text: str) -> None:
        """Write a file as UTF-8 without a mark, atomically."""
        self.write(path, text.encode())

    def append(self, path: str, content: bytes) -> None:
        """Add to the end of a file, which is made when it is not there."""
        target = self.locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as file:
            file.write(content)

    def size(self, path: str) -> int:
        """Bytes in a file, or in all files below a folder."""
        place = self.locate(path)
        if place.is_dir():
            return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        return place.stat().st_size

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, in hexadecimal."""
        digest = hashlib.sha256()
        with self.locate(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    @contextmanager
    def held_open(self, path: str) -> Iterator[None]:
        """While a program has the file open Windows does not delete it."""
        place = self.locate(path)
        self._held.add(place)
        try:
            yield
        finally:
            self._held.discard(place)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; what a program holds open stays, with the folders above it."""
        if not self.exists(path):
            return
        place = self.locate(path)
        if not any(place == held or place in held.parents for held in self._held):
            _remove_tree(place)
        elif place.is_dir():
            for child in self.children(path):
                self.remove(f"{path}\\{child}")


def _remove_tree(place: Path) -> None:
    """As shutil does it; importing that costs the guest a tenth of a second."""
    if place.is_dir():
        for child in place.iterdir():
            _remove_tree(child)
        place.rmdir()
    else:
        place.unlink()


def _split(path: str) -> tuple[str, list[str]]:
    found = re.match(r"([A-Za-z]:)[\\/]*(.*)\Z", path.replace("/", "\\"), re.DOTALL)
    if found is None:
        raise FileNotFoundError(f"'{path}' is not a path with a drive letter")
    parts: list[str] = []
    for part in found[2].split("\\"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return found[1].upper(), parts


def _find_child(folder: Path, name: str) -> Path:
    exact = folder / name
    if exact.exists() or not folder.is_dir():
        return exact
    return next((child for child in folder.iterdir() if child.name.casefold() == name.casefold()), exact)
