"""The lab's connection broker: where it answers, who may use it, and the settings that its service reads."""

import json
from pathlib import Path
from typing import Any

from imagebuild.lab import layout
from imagebuild.lab.broker.certificates import find_or_make
from imagebuild.lab.databases import Accounts
from imagebuild.lab.layout import Layout, digest_files, url_of
from imagebuild.secrets import derive_password

AGENTS_PORT = 8089
"""On the gateway of the desktops' network, where the recipes say that the broker is."""
PORT = 28443
"""Of its REST interface and its portal, on the loopback only: through the portal anybody may log anybody in."""
URL = f"https://127.0.0.1:{PORT}"
NAMES = ("IP:127.0.0.1", "DNS:localhost")
LOGIN = "pool-robot"  # a secret of the pool file: no word that is hidden in the midst of others
CENTER = 3
CODE = layout.SOURCE / "broker"

POOL: dict[str, Any] = {
    "name": "lab",
    "pool_definition": {
        "restrict_by": "A",
        "pool_attribute_join": "A",
        "attributes": [{"vm_table_field": "name", "condition_type": "bw", "text_to_match": "lab-"}],
    },
    "provision": {
        "provision_on_off": 0,
        "provision_threshold": 1,
        "provision_max": 10,
        "provision_vm_name": "lab-{SEQUENCE}",
        "provision_vm_name_next_value": 4,
        "center": {
            "id": CENTER,
            "name": "lab",
            "type": "openstack",
            "flavor": "2cpu_2GB_40GB",
            "network": "vdi-network",
            "security_groups": ["vdi-desktop"],
        },
    },
}
"""What recipes/pools/lab.yaml names: the desktops whose names begin so."""


def folder_of(place: Layout) -> Path:
    """Its state; it goes when the servers of the lab go."""
    return place.state / "broker"


def settings_file(place: Layout) -> Path:
    """What its service reads."""
    return place.conf / "broker.json"


def find_code() -> list[Path]:
    """The files that its service imports, beside the two packages that they are in."""
    return [*CODE.glob("*.py"), layout.SOURCE / "__init__.py", layout.SOURCE.parent / "__init__.py"]


def code_of(place: Layout) -> Path:
    """Where its service imports them from: another place for other code, so that a change restarts this service and no other."""
    return place.root / f"broker-code-{digest_files(find_code())}"


def write_settings(place: Layout, accounts: Accounts) -> None:
    """Its certificate and its settings, which hold passwords: readable by root only."""
    folder_of(place).mkdir(mode=0o700, exist_ok=True)
    find_or_make(folder_of(place) / "tls", *NAMES)
    path = settings_file(place)
    path.touch(mode=0o600)
    path.write_text(json.dumps(describe(place, accounts), indent=1), encoding="utf-8")


def describe(place: Layout, accounts: Accounts) -> dict[str, Any]:
    """The settings of imagebuild.lab.broker.service: quick, as everything in the lab is, and easy on its two cores."""
    account = {
        "auth_url": url_of("keystone", "/v3"),
        "user": layout.USER,
        "password": accounts.user.reveal(),
        "project": layout.PROJECT,
    }
    return {
        "folder": str(folder_of(place)),
        "address": "127.0.0.1",
        "port": PORT,
        "names": NAMES,
        "accounts": [{"login": LOGIN, "password": derive_password(accounts.user, "the broker's").reveal()}],
        "cloud": account,
        "pools": [POOL],
        "center": {"id": CENTER, "name": "lab", "scan_seconds": 1, "every_seconds": 15},
        "count_seconds": 5,
    }


def describe_access(place: Layout, accounts: Accounts) -> dict[str, str]:
    """The files that a pool file names, by name: whom to trust, and who we are."""
    ca = (folder_of(place) / "tls" / "ca.pem").read_text(encoding="ascii")
    password = derive_password(accounts.user, "the broker's").reveal()
    return {"ca.pem": ca, "user": f"{LOGIN}\n", "password": f"{password}\n"}
