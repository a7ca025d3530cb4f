"""What we use of openstacksdk: its reader of clouds.yaml and its errors, without the classes of every service that there is.

`import openstack` loads those, too, which takes as long as a dozen calls to a cloud, and we speak to the services ourselves. The
package needs them for nothing but the signature of its `connect`, so something empty stands in their place while it is
loaded; who imports `openstack.connection` by its name (the lab does) gets the real one.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_SERVICES = "openstack.connection"


class _Nothing(MetaPathFinder, Loader):
    """Finds an empty module where the services would be."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """importlib's question."""
        return ModuleSpec(name, self) if name == _SERVICES else None

    def exec_module(self, module: ModuleType) -> None:
        """The one name that the package mentions."""
        vars(module)["Connection"] = object


@contextmanager
def _without_services() -> Iterator[None]:
    if "openstack" in sys.modules:  # somebody has loaded all of it
        yield
        return
    finder = _Nothing()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop(_SERVICES, None)
        if package := sys.modules.get("openstack"):
            vars(package).pop("connection", None)


with _without_services():
    import openstack.config
    from openstack import exceptions

OpenStackConfig: Any = openstack.config.OpenStackConfig
CONFIG_FILES: Sequence[str] = openstack.config.loader.CONFIG_FILES
__all__ = ["CONFIG_FILES", "OpenStackConfig", "exceptions"]
