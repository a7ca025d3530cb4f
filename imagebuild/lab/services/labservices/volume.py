"""All of Cinder in one process: volume, scheduler and API, with native threads and the in-memory transport."""

import threading
from typing import Any

from cinder import monkey_patch

monkey_patch.patch()  # with OS_CINDER_DISABLE_EVENTLET_PATCHING set: before anything else of Cinder is imported

import cinder.privsep  # noqa: E402
import os_brick  # noqa: E402
import os_brick.privileged  # noqa: E402
from cinder import coordination, i18n, objects, rpc, service, version  # noqa: E402
from cinder.cmd import volume as volume_command  # noqa: E402
from cinder.common import config, constants  # noqa: E402
from cinder.image import image_utils  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log as oslo_log  # noqa: E402
from oslo_service import wsgi as oslo_wsgi  # noqa: E402

from labservices import link, sqlite, web  # noqa: E402

CONF = cfg.CONF
BACKEND = "file"
_report_lock = threading.Lock()


class Direct:
    """In place of eventlet's thread pool, which Cinder 29 uses for image files in threading mode, too: the second volume made from an
    image, in another native thread, hangs in it for ever."""

    @staticmethod
    def Proxy(thing: Any, autowrap: Any = ()) -> Any:  # noqa: N802  eventlet's name
        """The thing itself."""
        return thing

    @staticmethod
    def execute(function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it here and now."""
        return function(*args, **kwargs)


class OneOfSeveral(service.Service):
    """Cinder keeps the id of "the" service of a process in a class attribute; here a process has several, each with its heartbeat."""

    def report_state(self) -> None:
        """The heartbeat of this very service."""
        with _report_lock:
            kept, service.Service.service_id = service.Service.service_id, self.origin_service_id
            try:
                super().report_state()
            finally:
                service.Service.service_id = kept


def main(config_file: str, port: str) -> None:
    """Start everything and serve until SIGTERM."""
    sqlite.install()
    image_utils.tpool = Direct
    i18n.enable_lazy()
    objects.register_all()
    CONF(["--config-file", config_file], project="cinder", version=version.version_string())
    config.set_middleware_defaults()
    oslo_log.setup(CONF, "cinder")
    cinder.privsep.sys_admin_pctxt.set_client_mode(False)  # we are root: no daemon, no rootwrap, no sudo
    os_brick.privileged.default.set_client_mode(False)
    os_brick.setup(CONF)
    link.await_needs()
    rpc.init(CONF)
    coordination.COORDINATOR.start()
    CONF.register_opt(volume_command.host_opt, group=BACKEND)
    volumes = _start(
        binary=constants.VOLUME_BINARY, host=f"{CONF.host}@{BACKEND}", service_name=BACKEND, coordination=True
    )
    scheduler = _start(
        binary=constants.SCHEDULER_BINARY
    )  # last: it asks the volume service for what it can do and waits for the answer
    service.Service.service_id = volumes.origin_service_id
    web.serve_beside(oslo_wsgi.Loader(CONF).load_app(name="osapi_volume"), int(port))
    for one in (volumes, scheduler):
        one.report_state()
    link.tell_ready()
    threading.Event().wait()


def _start(**kwargs: Any) -> Any:
    one = OneOfSeveral.create(**kwargs)
    one.start()
    return one
