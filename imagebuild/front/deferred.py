"""Jobs, and what makes a lab, are loaded by the task that needs them: every command starts sooner without all the others' work."""

from importlib import import_module
from typing import Any


class Deferred:
    """Stands for a module until something of it is asked for. Where types are checked, the module itself is imported instead."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """The module's own, which is loaded by now."""
        return getattr(import_module(self._name), attribute)
