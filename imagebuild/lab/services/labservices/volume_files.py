"""Cinder backend for one machine: a volume is one raw sparse file, a snapshot is a full sparse copy of it.

The connection type is 'gpfs': Nova's stock driver for it attaches `device_path` as a plain file, with nothing to mount or connect.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
from cinder import exception, interface
from cinder.image import image_utils
from cinder.volume import configuration, driver, volume_utils
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_log import log as oslo_log

LOG = oslo_log.getLogger(__name__)
GIB = 1 << 30
OPTIONS = [
    cfg.StrOpt("labfile_folder", help="Folder that holds the volumes"),
    cfg.StrOpt("labfile_libvirt", help="libvirt URI, to pause a guest while its volume is copied"),
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)


@interface.volumedriver
class LabFileDriver(driver.VolumeDriver):
    """Volumes as files. Every copy goes to a .part file that then takes the name, so a killed copy is never taken for a volume."""

    VERSION = "1.0"
    CI_WIKI_NAME = "none"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        self.folder = Path(self.configuration.labfile_folder)
        self._sparse_copy_volume_data = True

    @staticmethod
    def get_driver_options() -> list[Any]:
        """Cinder asks for them when it lists drivers."""
        return OPTIONS

    def do_setup(self, context: Any) -> None:
        """Make the folder, drop what a killed process left half copied."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob("*.part"):
            part.unlink()

    def check_for_setup_error(self) -> None:
        """Nothing can be wrong with a folder that do_setup has made."""

    def _update_volume_stats(self) -> None:
        """What the scheduler reads. No list of pools: with one it takes only the second report for a first, ten seconds later."""
        disk = os.statvfs(self.folder)
        self._stats = {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "imagebuild",
            "driver_version": self.VERSION,
            "storage_protocol": "file",
            "total_capacity_gb": disk.f_blocks * disk.f_frsize // GIB,
            "free_capacity_gb": disk.f_bavail * disk.f_frsize // GIB,
            "provisioned_capacity_gb": 0,
            "reserved_percentage": 0,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "max_over_subscription_ratio": self.configuration.max_over_subscription_ratio,
            "multiattach": True,
            "QoS_support": False,
        }

    def path_of(self, thing: Any) -> Path:
        """The file of a volume or snapshot."""
        return self.folder / str(thing.name)

    # -- volumes
    def create_volume(self, volume: Any) -> None:
        """An empty sparse file."""
        with self.path_of(volume).open("wb") as file:
            file.truncate(volume.size * GIB)

    def delete_volume(self, volume: Any) -> None:
        """Remove the file; it may be gone already."""
        self.path_of(volume).unlink(missing_ok=True)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Grow the file to `new_size` GiB. A running guest sees it after its next start."""
        os.truncate(self.path_of(volume), new_size * GIB)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """A copy of another volume."""
        with self._quiet(src_vref):
            self._copy(self.path_of(src_vref), self.path_of(volume), volume.size)

    # -- snapshots
    def create_snapshot(self, snapshot: Any) -> None:
        """A copy of the volume as it is now."""
        with self._quiet(snapshot.volume):
            self._copy(self.path_of(snapshot.volume), self.path_of(snapshot))

    def delete_snapshot(self, snapshot: Any) -> None:
        """Remove the copy; it may be gone already."""
        self.path_of(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """A new volume with the snapshot's content."""
        self._copy(self.path_of(snapshot), self.path_of(volume), volume.size)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        """The snapshot's content back into its volume."""
        self._copy(self.path_of(snapshot), self.path_of(volume), volume.size)

    # -- images
    def copy_image_to_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, disable_sparse: bool = False
    ) -> None:
        """To a new file that then takes the volume's name: that also wipes what was there, as a rebuild needs it."""
        part = self._part(self.path_of(volume))
        image_utils.fetch_to_raw(
            context,
            image_service,
            image_id,
            str(part),
            self.configuration.volume_dd_blocksize,
            size=volume.size,
            run_as_root=False,
        )
        if part.stat().st_size > volume.size * GIB:
            part.unlink()
            raise exception.ImageUnacceptable(image_id=image_id, reason="larger than the volume")
        os.truncate(part, volume.size * GIB)
        part.rename(self.path_of(volume))

    def copy_volume_to_image(self, context: Any, volume: Any, image_service: Any, image_meta: Any) -> None:
        """Upload; of a volume in use a copy is uploaded, because the guest's QEMU holds the lock of the file."""
        if not volume.volume_attachment:
            self._upload(context, image_service, image_meta, self.path_of(volume), volume)
            return
        with image_utils.temporary_file(prefix="upload-") as name:
            with self._quiet(volume):
                self._copy(self.path_of(volume), Path(name))
            self._upload(context, image_service, image_meta, Path(name), volume)

    # -- attaching
    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        """Where Nova finds the volume."""
        place = {
            "device_path": str(self.path_of(volume)),
            "name": volume.name,
            "export": str(self.folder),
            "discard": True,
        }
        return {"driver_volume_type": "gpfs", "data": place}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        """Nothing was connected."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Nothing is exported."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Nothing is exported."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Nothing is exported."""

    # -- how
    def _upload(self, context: Any, image_service: Any, image_meta: Any, path: Path, volume: Any) -> None:
        volume_utils.upload_volume(context, image_service, image_meta, str(path), volume, run_as_root=False)

    def _part(self, path: Path) -> Path:
        return path.with_name(path.name + ".part")

    def _copy(self, source: Path, target: Path, gib: int | None = None) -> None:
        part = self._part(target)
        processutils.execute("cp", "--reflink=auto", "--sparse=always", str(source), str(part))
        if gib:
            os.truncate(part, gib * GIB)
        part.rename(target)

    @contextlib.contextmanager
    def _quiet(self, volume: Any) -> Iterator[None]:
        """Pause the running guests that have this volume: the copy is then like a disk after a power cut, not like two halves."""
        guests = [
            a.instance_uuid for a in volume.volume_attachment if a.instance_uuid and a.attach_status == "attached"
        ]
        if not guests:
            yield
            return
        connection = libvirt.open(self.configuration.labfile_libvirt)
        paused = []
        try:
            for guest in guests:
                try:
                    domain = connection.lookupByUUIDString(guest)
                    if domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                        domain.suspend()
                        paused.append(domain)
                except libvirt.libvirtError as error:
                    LOG.warning("guest %s is copied while it runs: %s", guest, error)
            yield
        finally:
            for domain in paused:
                domain.resume()
            connection.close()
