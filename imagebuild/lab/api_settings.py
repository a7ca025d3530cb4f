"""The settings of Keystone, Placement, Glance and Neutron, as values."""

from imagebuild.lab.layout import HOST, url_of
from imagebuild.lab.place import Place, Settings


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
