"""Everything the modelled Windows remembers: one JSON document on the disk, replaced whole, so that a power cut never tears it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Store:
    """Named sections of plain JSON values. Whoever changes a section does it inside `change()`; the outermost one writes the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def section(self, name: str) -> dict[str, Any]:
        """The live dictionary of a section; made empty when it is not there."""
        with self._lock:
            found: dict[str, Any] = self._content.setdefault(name, {})
            return found

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold everybody else off, and write the file when the outermost change ends, however it ends."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._save()

    def _save(self) -> None:
        part = self._path.with_name(self._path.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self._content))  # dump would write in small pieces, slowly
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
