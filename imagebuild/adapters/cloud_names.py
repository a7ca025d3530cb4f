"""Which clouds this machine knows by name, from clouds.yaml and the environment as every OpenStack client reads them."""

from collections.abc import Sequence
from pathlib import Path

import openstack.config
from openstack import exceptions

from imagebuild.errors import RecipeError


def configured_clouds(config_files: Sequence[Path] | None = None) -> tuple[str, ...]:
    """The names in the first clouds.yaml that is found (here, ~/.config/openstack, /etc/openstack).

    Raises RecipeError when it is broken.
    """
    try:
        files = [str(path) for path in config_files] if config_files else None
        names = openstack.config.OpenStackConfig(config_files=files).get_cloud_names()
    except exceptions.ConfigException as error:
        raise RecipeError(
            f"clouds.yaml cannot be used: {error}", hint="see `openstack --os-cloud NAME token issue`"
        ) from error
    return tuple(sorted(str(name) for name in names))
