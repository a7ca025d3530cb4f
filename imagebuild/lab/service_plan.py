"""What the supervisor shall run: every service with its function, settings and needs, and the order in which they stop."""

import hashlib
import json
from typing import Any

from imagebuild.lab.broker_settings import AGENTS_PORT, code_of, settings_file
from imagebuild.lab.layout import GATEWAY, PORTS, Layout, digest_code

# Libraries that most services import. The supervisor imports them once and forks: that saves a fifth of the memory, and seconds
# at the start.
PRELOAD = (
    "labservices.native_threads",
    "cheroot.wsgi",
    "dateutil.parser",
    "dogpile.cache",
    "jinja2",
    "jsonschema",
    "keystonemiddleware.auth_token",
    "openstack.connection",
    "oslo_db.options",
    "oslo_db.sqlalchemy.enginefacade",
    "oslo_messaging",
    "oslo_middleware",
    "oslo_policy.policy",
    "oslo_reports.guru_meditation_report",
    "oslo_versionedobjects.base",
    "paste.deploy",
    "routes.middleware",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
)


def make_plan(place: Layout, *, fake_hosts: int) -> dict[str, Any]:
    """The plan, with the digest of the code that it is from and a number of its own."""
    services = [_libvirtd(place), *_webs(place), _nova(place, fake_hosts), *_others(place)]
    names = [str(service["name"]) for service in services]
    guests = _service("guests", "labservices.guests:main", place.libvirt_uri) | {"once": True}
    plan: dict[str, Any] = {
        "digest": digest_code(),
        "fake_hosts": fake_hosts,
        "preload": PRELOAD,
        "services": services,
        "stop_phases": [{"errand": guests, "services": names[1:]}, {"services": names[:1]}],
    }
    return plan | {"number": hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:16]}


def _libvirtd(place: Layout) -> dict[str, Any]:
    command = ["unshare", "--mount", str(place.python), "-m", "labservices.libvirt_daemon", str(place.libvirt)]
    return {"name": "libvirtd", "command": command, "environment": {}, "needs": [], "probe": str(place.libvirt_socket)}


def _webs(place: Layout) -> list[dict[str, Any]]:
    """The services that are nothing but a web API."""

    def web(name: str, **environment: object) -> dict[str, Any]:
        made = _service(name, "labservices.web:main", f"{name}.wsgi.api", str(PORTS[name]))
        return made | {"environment": {key: str(value) for key, value in environment.items()}}

    conf = place.conf
    return [
        web("keystone", OS_KEYSTONE_CONFIG_DIR=conf, OS_KEYSTONE_CONFIG_FILES=conf / "keystone.conf"),
        web("placement", OS_PLACEMENT_CONFIG_DIR=conf),
        web("glance", OS_GLANCE_CONFIG_DIR=conf),
    ]


def _nova(place: Layout, fake_hosts: int) -> dict[str, Any]:
    settings = str(place.conf / "nova.conf")
    made = _service("nova", "labservices.compute:main", settings, str(PORTS["nova"]), str(fake_hosts))
    return made | {
        "needs": ["keystone", "placement", "neutron", "libvirtd"],
        # Nova closes its host when it loses libvirt, and opens it again a minute later; a new Nova does at once.
        "restarts_with": ["libvirtd"],
        "environment": {
            "OS_NOVA_CONFIG_DIR": str(place.conf),
            "OS_NOVA_CONFIG_FILES": "nova.conf",
            "OS_NOVA_DISABLE_EVENTLET_PATCHING": "true",
        },
    }


def _others(place: Layout) -> list[dict[str, Any]]:
    neutron = _service("neutron", "labservices.network:main", str(PORTS["neutron"]))
    neutron["environment"] = {"OS_NEUTRON_CONFIG_DIR": str(place.conf), "OS_NEUTRON_CONFIG_FILES": "neutron.conf"}
    cinder = _service("cinder", "labservices.volume:main", str(place.conf / "cinder.conf"), str(PORTS["cinder"]))
    cinder |= {"needs": ["keystone", "glance"], "environment": {"OS_CINDER_DISABLE_EVENTLET_PATCHING": "true"}}
    console = _service("console", "labservices.console:main", str(place.conf / "nova.conf"))
    console |= {"needs": ["nova"], "environment": {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "true"}}
    heard = str(place.state / "registrations.jsonl")
    reads = str(settings_file(place)), str(code_of(place))
    broker = _service("broker", "labservices.broker:main", GATEWAY, str(AGENTS_PORT), heard, *reads)
    return [neutron, cinder, console, broker]


def _service(name: str, function: str, *arguments: str) -> dict[str, Any]:
    return {"name": name, "function": function, "arguments": list(arguments), "needs": [], "environment": {}}
