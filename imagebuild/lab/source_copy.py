"""A copy of one of the lab's images, for a line of builds of its own: what is done to it disturbs nobody else's."""

from typing import Any

from imagebuild.lab.catalogue import translated

_KEPT = (
    "architecture",
    "hw_cdrom_bus",
    "hw_disk_bus",
    "hw_vif_model",
    "imagebuild_standin",
    "os_distro",
    "os_type",
    "os_version",
)


def copy_source(sdk: Any, base_name: str, name: str, *, orderly: bool = False) -> Any:
    """The image of that name once more, private, as `name`; gives openstacksdk's image. Raises LabError.

    A guest that has only begun to boot hears no ACPI, and Nova would wait for it until its shutdown_timeout is over: of the copy a
    stop pulls the plug at once, unless it is to be `orderly`.
    """
    with translated(f"copying the image {base_name}"):
        base = sdk.image.find_image(base_name, ignore_missing=False)
        # The SDK has attributes for some of an image's properties and keeps the others apart.
        told = {key: getattr(base, key, None) or base.properties.get(key) for key in _KEPT}
        return sdk.image.create_image(
            name=name,
            data=sdk.image.download_image(base).content,
            disk_format=base.disk_format,
            container_format="bare",
            visibility="private",
            min_disk=base.min_disk,
            min_ram=base.min_ram,
            wait=True,
            validate_checksum=False,
            **({} if orderly else {"os_shutdown_timeout": "0"}),
            **{key: value for key, value in told.items() if value},
        )
