"""What apt said of the guest's packages, kept as long as the files that apt answers from are as they were: asking takes seconds."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from imagebuild.lab.guest.packages import CLOUD_KERNEL, SYSTEM, Package, Selection, select_packages
from imagebuild.waiting import Deadline

SOURCES = (Path("/etc/apt"), Path("/var/lib/apt/lists"), Path("/var/lib/dpkg/status"))
"""Where apt reads what there is, what is preferred and what is installed."""


def recall_packages(memory: Path, *, deadline: Deadline, sources: Iterable[Path] = SOURCES) -> Selection:
    """The packages as apt names them now; from the file `memory` when nothing of apt's has changed since. Raises LabError."""
    stamp = _stamp(sources)
    known = _read(memory, stamp)
    if known is not None:
        return known
    selection = select_packages(deadline=deadline)
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    draft.write_text(json.dumps({"stamp": stamp, **asdict(selection)}), encoding="utf-8")
    draft.rename(memory)
    return selection


def _stamp(sources: Iterable[Path]) -> str:
    """A digest of names, sizes and times, and of what is asked for."""
    digest = hashlib.sha256(repr((SYSTEM, CLOUD_KERNEL)).encode())
    for source in sources:
        for file in sorted((source, *source.rglob("*"))) if source.exists() else ():
            if file.is_file():  # apt's locks and partial downloads change a folder's time, and nothing that it answers
                state = file.stat()
                digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _read(memory: Path, stamp: str) -> Selection | None:
    """What is remembered under that stamp; None when there is none, or a file that cannot be read."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        if content.pop("stamp") != stamp:
            return None
        return Selection(
            kernel_release=content["kernel_release"],
            guest=tuple(Package(**one) for one in content["guest"]),
            source=Package(**content["source"]),
            headers=tuple(Package(**one) for one in content["headers"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
