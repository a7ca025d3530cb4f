"""Which clouds this machine knows by name, from clouds.yaml and the environment as every OpenStack client reads them."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from imagebuild.adapters.openstack_sdk import CONFIG_FILES, OpenStackConfig, exceptions
from imagebuild.errors import RecipeError


def configured_clouds(config_files: Sequence[Path] | None = None) -> tuple[str, ...]:
    """The names in the first clouds.yaml that is found (here, ~/.config/openstack, /etc/openstack).

    Raises RecipeError when it is broken.
    """
    _refuse_broken([str(path) for path in config_files or CONFIG_FILES])
    try:
        files = [str(path) for path in config_files] if config_files else None
        config = OpenStackConfig(config_files=files)
    except exceptions.ConfigException as error:
        raise RecipeError(
            f"clouds.yaml cannot be used: {error}", hint="see `openstack --os-cloud NAME token issue`"
        ) from error
    # Without a file the SDK makes a cloud up, called "defaults" (loader.py); "envvars" is one that the environment describes.
    made_up = {"defaults"} if config.config_filename is None else set()
    return tuple(sorted({str(name) for name in config.get_cloud_names()} - made_up))


def _refuse_broken(files: Sequence[str]) -> None:
    """The SDK passes over a file that is no YAML with a warning: then the wrong cloud would be taken without a word."""
    for name in files:
        path = Path(name)
        if path.suffix != ".json" and path.is_file():
            try:
                yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
                raise RecipeError(f"{path} cannot be read: {error}", hint="mend it, or move it away") from error
            return
