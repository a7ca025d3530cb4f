"""The steps of the pipeline, one file each. Importing this package registers them all; adding a step is adding a file."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
