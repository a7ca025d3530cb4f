"""Where a build keeps what it knows on this machine: journal, password, logs, inventory, record. One folder a build."""

import difflib
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagebuild.errors import ImagebuildError, RecipeError
from imagebuild.journal import Entry, is_owned, read_journal
from imagebuild.secrets import Secret, hide, make_password

_TIME_IN_ID = re.compile(r"-(\d{8}-\d{6})-[0-9a-f]{4}$")


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

    @property
    def has_password(self) -> bool:
        """True until nothing needs the builder's password any more."""
        return (self.path / "password").exists()

    def password(self) -> Secret:
        """The builder's administrator password: made once, kept readable by its owner only, gone when the build is over."""
        file = self.path / "password"
        try:
            return Secret(file.read_text(encoding="ascii"))
        except FileNotFoundError:
            return self._make_password(file)

    def _make_password(self, file: Path) -> Secret:
        """On the disk before anybody uses it: a build that is resumed needs the same one."""
        secret = make_password()
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
                stream.write(secret.reveal())
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)
        except OSError as error:
            words = f"{file} cannot be written: {error.strerror or error}"
            raise ImagebuildError(words, hint="free disk space, then run again") from error
        return secret

    def remove(self) -> None:
        """Forget the build: for one that made nothing at all."""
        shutil.rmtree(self.path)

    def forget_password(self) -> None:
        """Remove the password: nothing of this build needs it any more."""
        (self.path / "password").unlink(missing_ok=True)

    def save(self, name: str, text: str) -> Path:
        """Write a file of the build (a log, a JSON) whole or not at all, without secrets; letters that are none become `?`.

        Raises OSError.
        """
        target = self.path / name
        part = target.with_suffix(target.suffix + ".part")
        part.write_text(hide(text), encoding="utf-8", errors="replace")
        part.replace(target)
        return target

    def save_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """The same for a value."""
        return self.save(name, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def new_build_folder(root: Path, recipe: str) -> BuildFolder:
    """A folder for a new build: recipe, time (UTC) and four random digits, so that two at once never meet.

    Raises ImagebuildError.
    """
    name = f"{recipe}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path = root / name
    try:
        path.mkdir(parents=True, mode=0o700)
    except OSError as error:
        words = f"the build's folder {path} cannot be made: {error.strerror or error}"
        raise ImagebuildError(words, hint="free disk space; who owns the folder above it?") from error
    return BuildFolder(path)


def build_folders(root: Path) -> Iterator[BuildFolder]:
    """The builds of this machine, oldest first; those of one second in the order in which their journals begin."""
    folders = [BuildFolder(journal.parent) for journal in root.glob("*/journal.jsonl")]
    counted = Counter(_begun(folder.id) for folder in folders)

    def age(folder: BuildFolder) -> tuple[str, str, str]:
        second = _begun(folder.id)
        first = next(iter(folder.entries()), None) if second and counted[second] > 1 else None
        return second, first.at if first else "", folder.id

    yield from sorted(folders, key=age)


def find_build(root: Path, text: str) -> BuildFolder:
    """The build that a person means: its id, a piece of it that only one has, or `last`. Raises RecipeError with the candidates."""
    known = list(build_folders(root))
    if text == "last" and known:
        return known[-1]
    found = [folder for folder in known if folder.id == text] or [folder for folder in known if text in folder.id]
    if len(found) == 1:
        return found[0]
    if found:
        candidates = ", ".join(folder.id for folder in found[-5:])
        raise RecipeError(f"{len(found)} builds are called like {text!r}", hint=f"say more of the id: {candidates}")
    near = difflib.get_close_matches(text, [folder.id for folder in known], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "which there are: invoke builds"
    raise RecipeError(f"this machine has no build {text!r}", hint=hint)


def is_build_id(text: str) -> bool:
    """Is this a build's whole id, of whatever machine?"""
    return _TIME_IN_ID.search(text) is not None


def is_build_of(build_id: str, recipes: Collection[str]) -> bool:
    """Is this the id of a build of one of these recipes, or of a verification of one of their images?"""
    what = _TIME_IN_ID.sub("", build_id)
    return what in recipes or any(re.fullmatch(rf"verify-{re.escape(recipe)}-v\d+", what) for recipe in recipes)


def _begun(build_id: str) -> str:
    """The second in a build's id; '' when there is none."""
    found = _TIME_IN_ID.search(build_id)
    return found[1] if found else ""
