"""Nova's FakeDriver for scale tests, better in two points: its node ids survive a restart, and a snapshot uploads real bytes."""

import io
import uuid
from typing import Any

from nova.image import glance
from nova.virt import fake

NAMESPACE = uuid.UUID("6d1ab6a2-5b0e-4c9e-8d52-19c4b1a0f7e3")
SNAPSHOT_BYTES = 65536


class LabFakeDriver(fake.FakeDriver):
    """A host that says yes to everything and runs nothing."""

    vcpus = 100_000
    memory_mb = 80_000_000
    local_gb = 6_000_000

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Node names by ids that are the same in every process; the stock driver makes new ones, and Nova refuses to start on them."""
        return {str(uuid.uuid5(NAMESPACE, name)): name for name in self.get_available_nodes()}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """As the stock driver, under the stable id."""
        return super().get_available_resource(nodename) | {"uuid": str(uuid.uuid5(NAMESPACE, nodename))}

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """An image that becomes active: the stock driver uploads nothing."""
        super().snapshot(context, instance, image_id, update_task_state)
        meta = {"disk_format": "raw", "container_format": "bare", "properties": {"image_state": "available"}}
        glance.API().update(context, image_id, meta, io.BytesIO(bytes(SNAPSHOT_BYTES)))
