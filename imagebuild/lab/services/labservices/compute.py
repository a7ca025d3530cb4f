"""All of Nova in one process: conductor, scheduler, API and every compute host, over oslo.messaging's in-memory transport.

Unmodified Nova classes, put together the way Nova's own functional tests do it; so the lab needs no message broker.
"""

import logging
import os
import sys
import threading
import time
from typing import Any

from nova import monkey_patch

monkey_patch.patch(backend="threading")  # before anything else of Nova is imported

import nova.conf  # noqa: E402
import nova.privsep  # noqa: E402
import os_brick  # noqa: E402
import os_brick.privileged  # noqa: E402
import os_vif  # noqa: E402
from nova import config, context, objects, service, thread_pool_factory  # noqa: E402
from nova.api.openstack import wsgi_app  # noqa: E402
from nova.compute import rpcapi, task_states  # noqa: E402
from nova.objects import host_mapping  # noqa: E402
from oslo_log import log as oslo_log  # noqa: E402
from oslo_service import opts as service_opts  # noqa: E402
from paste import deploy  # noqa: E402

from labservices import link, sqlite, web  # noqa: E402

CONF = nova.conf.CONF
STOP_EVENT_SECONDS = 2.0
LOST_GUESTS_SECONDS = 15.0


def main(config_file: str, port: str, fake_hosts: str) -> None:
    """Start everything and serve until SIGTERM."""
    sqlite.install()
    _configure(config_file)
    _shorten_stop_delay()
    _forgo_enlightenments()
    link.await_needs()  # conductor, scheduler and compute call keystone and placement while they start
    running = []
    for binary in ("nova-conductor", "nova-scheduler"):
        one = service.Service.create(binary=binary)
        one.start()
        running.append(one)
    wsgi_app._setup_service(CONF.host, "osapi_compute")
    application = deploy.loadapp(f"config:{CONF.wsgi.api_paste_config}", name="osapi_compute")
    web.serve_beside(application, int(port), threads=16)
    computes = [_start_compute(CONF.host, "libvirt.LibvirtDriver")]
    computes += _start_fakes(int(fake_hosts))
    for one in running + computes:
        # the first heartbeat now: after a pause longer than service_down_time the hosts would count as down for some seconds
        one.servicegroup_api._driver._report_state(one)
    host_mapping.discover_hosts(context.get_admin_context())
    _note_lost_guests(computes[0].manager)
    link.tell_ready()
    threading.Event().wait()


def _configure(config_file: str) -> None:
    config.parse_args(["nova-lab", "--config-file", config_file])
    oslo_log.setup(CONF, "nova")
    service_opts.register_service_opts(CONF)
    for privileged in (nova.privsep.sys_admin_pctxt, os_brick.privileged.default):
        privileged.set_client_mode(False)  # we are root: no privsep daemon, no rootwrap, no sudo
    objects.register_all()
    os_brick.setup(CONF)
    os_vif.initialize()
    objects.Service.enable_min_version_cache()


def _shorten_stop_delay() -> None:
    """Nova holds libvirt's STOPPED event back for a hard-coded 15 s, as it may be half of a reboot; here that is waiting for nothing."""
    wrapper = thread_pool_factory.StaticallyDelayingCancellableTaskExecutorWrapper

    def make(delay: float, executor: Any) -> Any:
        return wrapper(delay=min(delay, STOP_EVENT_SECONDS), executor=executor)

    thread_pool_factory.StaticallyDelayingCancellableTaskExecutorWrapper = make


def _note_lost_guests(manager: Any) -> None:
    """Let every server be SHUTOFF whose guest went away while Nova did not look: the lab was down, the machine was restarted.

    Nova compares in threads of its own and then stops by a cast to itself: whoever asked right after a start could still be told ACTIVE.
    """
    admin = context.get_admin_context()
    manager._sync_power_states(admin)
    deadline = time.monotonic() + LOST_GUESTS_SECONDS
    while time.monotonic() < deadline:
        with manager.syncs_in_progress() as syncs:
            comparing = bool(syncs)
        servers = objects.InstanceList.get_by_host(admin, manager.host, expected_attrs=[])
        if not comparing and not any(server.task_state == task_states.POWERING_OFF for server in servers):
            return
        time.sleep(0.05)
    logging.getLogger(__name__).warning(
        "after %.0f s servers without a guest are still not SHUTOFF", LOST_GUESTS_SECONDS
    )


def _forgo_enlightenments() -> None:
    """Nova gives guests with os_type=windows Hyper-V features, which QEMU has only with KVM: without it such a guest does not start."""
    from nova.virt.libvirt import driver

    set_features = driver.LibvirtDriver._set_features

    def set_plain_features(self: Any, guest: Any, os_type: str | None, image_meta: Any, flavor: Any) -> None:
        set_features(self, guest, None if os_type == "windows" else os_type, image_meta, flavor)

    driver.LibvirtDriver._set_features = set_plain_features


def _start_compute(host: str, driver: str) -> Any:
    """One nova-compute as host `host`. Nova calls sys.exit when a driver does not load; then so do we, and the supervisor tells."""
    one = service.Service(
        host,
        "nova-compute",
        rpcapi.RPC_TOPIC,
        "nova.compute.manager.ComputeManager",
        report_interval=CONF.report_interval,
        periodic_enable=True,
        periodic_fuzzy_delay=1,
        topic_alt=rpcapi.RPC_TOPIC_ALT,
        compute_driver=driver,
    )
    one.start()
    return one


def _start_fakes(count: int) -> list[Any]:
    if not count:
        return []
    from labservices import fake_compute

    sys.modules["nova.virt.labfake"] = fake_compute  # Nova loads drivers from nova.virt only
    logging.getLogger(__name__).info("starting %d fake hosts, pid %d", count, os.getpid())
    return [_start_compute(f"fake{number}", "labfake.LabFakeDriver") for number in range(1, count + 1)]
