"""The settings of every service, as values; and how they become files."""

import configparser
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuild.lab.layout import HOST, PORTS, REGION, VNC_PORTS, ZONE, Layout, url_of
from imagebuild.secrets import Secret

Section = Mapping[str, object]
Settings = dict[str, Section]

SERVICE_USER = "service"
POLICY: Section = {"enforce_scope": "false", "enforce_new_defaults": "false"}


@dataclass(frozen=True)
class Place:
    """Where settings point: the lab, and the state folder (of the lab, or of a template that is being made)."""

    layout: Layout
    state: Path
    service_password: Secret

    def database(self, name: str) -> Section:
        """The [database] section for one file."""
        return {"connection": f"sqlite:///{self.state}/db/{name}.sqlite"}

    def etc(self, name: str) -> str:
        """A settings file that came with the services' packages."""
        return str(self.layout.venv / "etc" / name)

    def logging(self, service: str) -> Section:
        """Where a service logs."""
        return {"log_dir": self.layout.logs, "log_file": f"{service}.log", "use_stderr": "false", "debug": "false"}

    def login(self) -> Section:
        """How a service logs in to another one."""
        return {
            "auth_type": "password",
            "auth_url": url_of("keystone", "/v3"),
            "username": SERVICE_USER,
            "password": self.service_password.reveal(),
            "project_name": SERVICE_USER,
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
        }

    def shared(self) -> Settings:
        """Sections that every service has."""
        return {
            "oslo_concurrency": {"lock_path": self.state / "locks"},
            "oslo_messaging_notifications": {"driver": "noop"},
            "oslo_policy": POLICY,
        }

    def shared_behind_keystone(self) -> Settings:
        """The same with the check of tokens. A service's token is checked, too: Cinder detaches nothing without one."""
        check = {
            "www_authenticate_uri": url_of("keystone", "/v3"),
            "service_token_roles": "service",
            "service_token_roles_required": "true",
        }
        return self.shared() | {"keystone_authtoken": check | dict(self.login())}


def make_settings(place: Place) -> dict[str, Settings]:
    """Settings file name -> its sections, for all services."""
    return {
        "keystone.conf": make_keystone(place),
        "placement.conf": make_placement(place),
        "glance-api.conf": make_glance(place),
        "neutron.conf": make_neutron(place),
        "nova.conf": make_nova(place),
        "cinder.conf": make_cinder(place),
    }


def make_keystone(place: Place) -> Settings:
    """Keystone: Fernet tokens for a day, cheap hashes (random passwords on one machine)."""
    return {
        "DEFAULT": {**place.logging("keystone"), "max_token_size": 255},
        "database": place.database("keystone"),
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": place.state / "keys" / "fernet"},
        "fernet_receipts": {"key_repository": place.state / "keys" / "fernet"},
        "credential": {"key_repository": place.state / "keys" / "credential"},
        "identity": {"password_hash_rounds": 4},
        "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
        **place.shared(),
    }


def make_placement(place: Place) -> Settings:
    """Placement: nothing special."""
    return {
        "DEFAULT": place.logging("placement"),
        "api": {"auth_strategy": "keystone"},
        "placement_database": place.database("placement"),
        **place.shared_behind_keystone(),
    }


def make_glance(place: Place) -> Settings:
    """Glance: images as files. The two reserved stores must have sections and must not be listed as backends."""
    folder = place.state / "glance"
    return {
        "DEFAULT": {
            **place.logging("glance"),
            "enabled_backends": "file:file",
            "worker_self_reference_url": url_of("glance"),
            "show_multiple_locations": "false",
            "enabled_import_methods": "[]",
        },
        "database": place.database("glance"),
        "glance_store": {"default_backend": "file"},
        "file": {"filesystem_store_datadir": folder / "images"},
        "os_glance_tasks_store": {"filesystem_store_datadir": folder / "tasks"},
        "os_glance_staging_store": {"filesystem_store_datadir": folder / "staging"},
        "paste_deploy": {"flavor": "keystone", "config_file": place.etc("glance/glance-api-paste.ini")},
        **place.shared_behind_keystone(),
    }


def make_neutron(place: Place) -> Settings:
    """Neutron: ML2 with the lab's own mechanism driver, no agents, so nobody listens on the in-memory transport."""
    return {
        "DEFAULT": {
            **place.logging("neutron"),
            "core_plugin": "ml2",
            "service_plugins": "",
            "auth_strategy": "keystone",
            "transport_url": "fake://",
            "rpc_response_timeout": 10,
            "state_path": place.state / "neutron",
            "api_paste_config": place.etc("neutron/api-paste.ini"),
            "notify_nova_on_port_status_changes": "false",
            "notify_nova_on_port_data_changes": "false",
            "dhcp_agent_notification": "false",
            "global_physnet_mtu": 1500,
            "host": HOST,
            "bind_host": "127.0.0.1",
        },
        "database": place.database("neutron"),
        "ml2": {
            "type_drivers": "local,flat",
            "tenant_network_types": "local",
            "mechanism_drivers": "labtap",
            "extension_drivers": "port_security",
        },
        "quotas": {"quota_network": 10, "quota_subnet": 10, "quota_port": 200, "quota_security_group": 50},
        "labtap": {"folder": place.layout.dhcp, "mark": place.layout.mark},
        **place.shared_behind_keystone(),
    }


def make_nova(place: Place) -> Settings:
    """Nova: libvirt with QEMU's own CPU emulation, always; quotas as a small real cloud has them."""
    login = place.login()
    helper = {
        "helper_command": "/bin/false"
    }  # privileged code runs in the service itself; a privsep daemon would be a mistake
    return {
        "DEFAULT": {
            **place.logging("nova"),
            "transport_url": "fake:///",
            "rpc_response_timeout": 60,
            "my_ip": "127.0.0.1",
            "host": HOST,
            "state_path": place.state / "nova",
            "instances_path": place.state / "nova" / "instances",
            "compute_driver": "libvirt.LibvirtDriver",
            "concurrency_backend": "threading",
            "force_config_drive": "true",
            "mkisofs_cmd": "/usr/bin/genisoimage",
            "vif_plugging_is_fatal": "false",  # nobody reports a port as plugged
            "vif_plugging_timeout": 0,
            "default_schedule_zone": ZONE,  # keeps servers off the fake hosts, which have a zone of their own
            "reserved_host_memory_mb": 0,
            "cpu_allocation_ratio": 64.0,
            "ram_allocation_ratio": 4.0,
            "disk_allocation_ratio": 20.0,
            "report_interval": 10,
            "service_down_time": 60,
            "periodic_fuzzy_delay": 0,
            "update_resources_interval": 0,
            "resume_guests_state_on_host_boot": "false",
            "shutdown_timeout": 10,
            "web": place.layout.web,  # the console proxy wants a folder of pages; clients bring their own
            "allow_resize_to_same_host": "true",
            "block_device_allocate_retries_interval": 1,
            "max_concurrent_builds": 10,
            "max_concurrent_snapshots": 10,
        },
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": place.etc("nova/api-paste.ini")},
        "api_database": place.database("nova_api"),
        "database": place.database("nova_cell1"),
        "scheduler": {"discover_hosts_in_cells_interval": -1, "workers": 1},
        "conductor": {"workers": 1},
        "filter_scheduler": {"track_instance_changes": "false"},
        "quota": {"instances": 20, "cores": 40, "ram": 40960},
        "libvirt": {
            "virt_type": "qemu",
            "cpu_mode": "none",
            "connection_uri": place.layout.libvirt_uri,
            "images_type": "qcow2",
            "inject_partition": -2,
            "disk_cachemodes": "file=unsafe",  # a lab: flushing costs an emulated IDE disk more than a power cut would
        },
        "vnc": {
            "enabled": "true",
            "server_listen": "127.0.0.1",
            "server_proxyclient_address": "127.0.0.1",
            "novncproxy_host": "127.0.0.1",
            "novncproxy_port": PORTS["console"],
            "novncproxy_base_url": url_of("console", "/vnc_auto.html"),
        },
        # the stand-in's disk begins with a boot sector and a file system; the check takes that for a broken partition table
        "workarounds": {"disable_deep_image_inspection": "true"},
        "glance": {"region_name": REGION, "endpoint_override": url_of("glance"), "num_retries": 1},
        "neutron": {**login, "endpoint_override": url_of("neutron")},
        "placement": {**login, "endpoint_override": url_of("placement")},
        "cinder": {"catalog_info": "volumev3::publicURL", "os_region_name": REGION},
        "service_user": {**login, "send_service_user_token": "true"},
        "nova_sys_admin": helper,
        "vif_plug_ovs_privileged": helper,
        "privsep_osbrick": helper,
        **place.shared_behind_keystone(),
    }


def make_cinder(place: Place) -> Settings:
    """Cinder: the lab's own file backend and one volume type."""
    login = place.login()
    return {
        "DEFAULT": {
            **place.logging("cinder"),
            "transport_url": "fake://",
            "rpc_response_timeout": 60,
            "host": HOST,
            "my_ip": "127.0.0.1",
            "auth_strategy": "keystone",
            "state_path": place.state / "cinder",
            "image_conversion_dir": place.state / "cinder" / "conversion",
            "api_paste_config": place.etc("cinder/api-paste.ini"),
            "resource_query_filters_file": place.etc("cinder/resource_filters.json"),
            "osapi_volume_listen": "127.0.0.1",
            "public_endpoint": url_of("cinder"),
            "glance_api_servers": url_of("glance"),
            "glance_num_retries": 1,
            "enabled_backends": "file",
            "default_volume_type": "file",
            "storage_availability_zone": "nova",
            "allow_availability_zone_fallback": "true",
            "use_default_quota_class": "false",
            "quota_volumes": 60,
            "quota_snapshots": 60,
            "quota_gigabytes": 2000,
            "report_interval": 10,
            "service_down_time": 60,
            "periodic_interval": 60,
            "periodic_fuzzy_delay": 0,
            "scheduler_driver_init_wait_time": 10,
            "enable_force_upload": "true",
            "allow_compression_on_image_upload": "false",
        },
        "database": place.database("cinder"),
        "coordination": {"backend_url": f"file://{place.state}/cinder/coordination"},
        "file": {
            "volume_backend_name": "file",
            "volume_driver": "labservices.volume_files.LabFileDriver",
            "labfile_folder": place.state / "cinder" / "volumes",
            "labfile_libvirt": place.layout.libvirt_uri,
            "reserved_percentage": 0,
            "max_over_subscription_ratio": 1000,
            "volume_dd_blocksize": "1M",
        },
        "nova": {"interface": "public", **login},
        "service_user": {**login, "send_service_user_token": "true"},
        **place.shared_behind_keystone(),
    }


LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 0
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_outputs = "2:file:{log}"
"""

# No cgroups, no namespaces, no security labels: QEMU is an ordinary root process of the lab, and its console goes to a plain file.
QEMU_CONF = f"""\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remote_display_port_min = {VNC_PORTS[0]}
remote_display_port_max = {VNC_PORTS[1]}
"""


def render(sections: Settings) -> str:
    """The text of a settings file as oslo.config reads it."""
    parser = configparser.RawConfigParser(default_section="no section is a default")
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keep the case of names
    parser.read_dict({name: {k: str(v) for k, v in section.items()} for name, section in sections.items()})
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def write_settings(folder: Path, place: Place) -> None:
    """Write every settings file, readable by root only: they hold the services' password."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, sections in make_settings(place).items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(render(sections), encoding="utf-8")


def write_libvirt_settings(layout: Layout) -> None:
    """The lab's own libvirtd.conf and qemu.conf."""
    folder = layout.libvirt / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "libvirtd.log"
    (folder / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(log=log), encoding="utf-8")
    (folder / "qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
