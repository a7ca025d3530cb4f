"""Where a build keeps what it knows on this machine: journal, password, logs, inventory, record. One folder a build."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagebuild.journal import Entry, is_owned, read_journal
from imagebuild.secrets import Secret, hide, make_password


@dataclass(frozen=True)
class BuildFolder:
    """The folder of one build; its name is the build's id."""

    path: Path

    @property
    def id(self) -> str:
        """The build's id: the owner of everything it makes in the cloud."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.jsonl"

    def entries(self) -> tuple[Entry, ...]:
        """What the journal says."""
        return read_journal(self.journal)

    def is_alive(self) -> bool:
        """True while a process works on it."""
        return is_owned(self.journal)

    def password(self) -> Secret:
        """The builder's administrator password: made once, kept readable by its owner only, gone when the build is over."""
        file = self.path / "password"
        try:
            return Secret(file.read_text(encoding="ascii"))
        except FileNotFoundError:
            secret = make_password()
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secret.reveal())
            return secret

    def forget_password(self) -> None:
        """Remove the password: nothing of this build needs it any more."""
        (self.path / "password").unlink(missing_ok=True)

    def save(self, name: str, text: str) -> Path:
        """Write a file of the build (a log, a JSON) whole or not at all, without secrets; letters that are none become `?`."""
        target = self.path / name
        part = target.with_suffix(target.suffix + ".part")
        part.write_text(hide(text), encoding="utf-8", errors="replace")
        part.replace(target)
        return target

    def save_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """The same for a value."""
        return self.save(name, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def new_build_folder(root: Path, recipe: str) -> BuildFolder:
    """A folder for a new build: recipe, time (UTC) and four random digits, so that two at once never meet."""
    name = f"{recipe}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path = root / name
    path.mkdir(parents=True, mode=0o700)
    return BuildFolder(path)


def build_folders(root: Path) -> Iterator[BuildFolder]:
    """The builds of this machine, oldest first."""
    for journal in sorted(root.glob("*/journal.jsonl")):
        yield BuildFolder(journal.parent)
