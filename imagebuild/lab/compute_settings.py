"""The settings of Nova and Cinder, and of the libvirt below Nova, as values."""

from imagebuild.lab.layout import HOST, PORTS, REGION, VNC_PORTS, ZONE, url_of
from imagebuild.lab.place import Place, Settings

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


def make_nova(place: Place) -> Settings:
    """Nova: libvirt with QEMU's own CPU emulation, always; quotas as a small real cloud has them."""
    return {
        "DEFAULT": _nova_itself(place) | _nova_pace(),
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": place.etc("nova/api-paste.ini")},
        "api_database": place.database("nova_api"),
        "database": place.database("nova_cell1"),
        "scheduler": {"discover_hosts_in_cells_interval": -1, "workers": 1},
        "conductor": {"workers": 1},
        "filter_scheduler": {"track_instance_changes": "false"},
        "quota": {"instances": 20, "cores": 40, "ram": 40960},
        **_nova_hypervisor(place),
        **_nova_neighbours(place),
        **place.shared_behind_keystone(),
    }


def _nova_itself(place: Place) -> dict[str, object]:
    """Where it is and how it treats servers."""
    return {
        **place.logging("nova"),
        "transport_url": "fake:///",
        "my_ip": "127.0.0.1",
        "host": HOST,
        "state_path": place.state / "nova",
        "instances_path": place.state / "nova" / "instances",
        "web": place.layout.web,  # the console proxy wants a folder of pages; clients bring their own
        "compute_driver": "libvirt.LibvirtDriver",
        "concurrency_backend": "threading",
        "force_config_drive": "true",
        "mkisofs_cmd": "/usr/bin/genisoimage",
        "default_schedule_zone": ZONE,  # keeps servers off the fake hosts, which have a zone of their own
        "reserved_host_memory_mb": 0,
        "cpu_allocation_ratio": 64.0,
        "ram_allocation_ratio": 4.0,
        "disk_allocation_ratio": 20.0,
        "resume_guests_state_on_host_boot": "false",
        "allow_resize_to_same_host": "true",
    }


def _nova_pace() -> dict[str, object]:
    """How long it waits for what, and how often it looks."""
    return {
        "rpc_response_timeout": 60,
        "vif_plugging_is_fatal": "false",  # nobody reports a port as plugged
        "vif_plugging_timeout": 0,
        "report_interval": 10,
        "service_down_time": 60,
        "periodic_fuzzy_delay": 0,
        "update_resources_interval": 0,
        "shutdown_timeout": 10,
        "block_device_allocate_retries_interval": 1,
        "max_concurrent_builds": 10,
        "max_concurrent_snapshots": 10,
    }


def _nova_hypervisor(place: Place) -> Settings:
    """libvirt, its screens, and who runs privileged code."""
    # It runs in the service itself, which is root; a privsep daemon would be a mistake, and this makes it a loud one.
    helper = {"helper_command": "/bin/false"}
    return {
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
        "nova_sys_admin": helper,
        "vif_plug_ovs_privileged": helper,
        "privsep_osbrick": helper,
    }


def _nova_neighbours(place: Place) -> Settings:
    """The other services. Nova shows its own token beside the user's: Cinder detaches nothing without."""
    login = place.login()
    return {
        "glance": {"region_name": REGION, "endpoint_override": url_of("glance"), "num_retries": 1},
        "neutron": {**login, "endpoint_override": url_of("neutron")},
        "placement": {**login, "endpoint_override": url_of("placement")},
        "cinder": {"catalog_info": "volumev3::publicURL", "os_region_name": REGION},
        "service_user": {**login, "send_service_user_token": "true"},
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
