"""The state of a new lab: migrated databases, keys and accounts, made once for a version of the lab and kept as a template."""

import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.lab import layout
from imagebuild.lab.configuration import write_settings
from imagebuild.lab.jobs import Job
from imagebuild.lab.layout import Layout, url_of
from imagebuild.lab.place import SERVICE_USER, Place
from imagebuild.secrets import Secret, make_password

MADE_BY = "made-by"
ACCOUNTS = "accounts.json"
FOLDERS = (
    "db",
    "keys",
    "locks",
    "glance/images",
    "glance/tasks",
    "glance/staging",
    "nova/instances",
    "neutron",
    "cinder/volumes",
    "cinder/coordination",
    "cinder/conversion",
)
SETTINGS = {
    "keystone": "keystone.conf",
    "nova": "nova.conf",
    "neutron": "neutron.conf",
    "cinder": "cinder.conf",
    "glance": "glance-api.conf",
    "placement": "placement.conf",
}


@dataclass(frozen=True)
class Accounts:
    """The passwords of a state: the administrator's, the ordinary user's, the services'."""

    admin: Secret
    user: Secret
    service: Secret


def make_accounts() -> Accounts:
    """New random passwords."""
    return Accounts(make_password(), make_password(), make_password())


def read_accounts(state: Path) -> Accounts:
    """The passwords that a state or template was made with."""
    kept = json.loads((state / ACCOUNTS).read_text(encoding="utf-8"))
    return Accounts(**{name: Secret(value) for name, value in kept.items()})


def write_accounts(state: Path, accounts: Accounts) -> None:
    """Keep the passwords with the state, readable by root only."""
    path = state / ACCOUNTS
    path.touch(mode=0o600)
    kept = {name: getattr(accounts, name).reveal() for name in ("admin", "user", "service")}
    path.write_text(json.dumps(kept), encoding="utf-8")


def describe_identity(accounts: Accounts) -> str:
    """Projects, users and the catalogue, as labservices.identity reads them. Holds the passwords."""
    catalogue = (
        ("glance", "image", ""),
        ("placement", "placement", ""),
        ("neutron", "network", ""),
        ("nova", "compute", "/v2.1"),
        ("cinder", "volumev3", "/v3/%(project_id)s"),
    )
    users = (
        ("admin", "admin", accounts.admin, ["admin"], "The lab's administrator"),
        (SERVICE_USER, SERVICE_USER, accounts.service, ["admin", "service"], "The services among themselves"),
        (layout.USER, layout.PROJECT, accounts.user, ["member"], "Where master images are built"),
    )
    return json.dumps(
        {
            "region": layout.REGION,
            "identity_url": url_of("keystone", "/v3"),
            "services": [{"name": name, "type": kind, "url": url_of(name, path)} for name, kind, path in catalogue],
            "users": [
                {"name": name, "project": project, "password": secret.reveal(), "roles": roles, "about": about}
                for name, project, secret, roles, about in users
            ],
        }
    )


def find_template(place: Layout) -> Path:
    """Where the template of today's version is, or will be."""
    return place.templates / layout.digest_state(place.root)


def plan_template(place: Layout) -> list[Job]:
    """The jobs that make today's template under a temporary name; none when it is there."""
    if find_template(place).exists():
        return []
    part = find_template(place).with_suffix(".new")
    shutil.rmtree(part, ignore_errors=True)
    for folder in FOLDERS:
        (part / folder).mkdir(parents=True)
    part.chmod(0o700)
    accounts = make_accounts()
    write_accounts(part, accounts)
    write_settings(part / "conf", Place(place, part, accounts.service))
    environment = {
        "PYTHONPATH": str(place.code),
        "PYTHONWARNINGS": "ignore",
        "OS_CINDER_DISABLE_EVENTLET_PATCHING": "true",
        "LAB_STATE": str(place.state),
    }
    return [
        Job(
            f"database-{project}",
            [str(place.python), "-m", "labservices.schema", project, str(part / "conf" / name)],
            needs=("services-environment",),
            environment=environment,
            stdin=describe_identity(accounts) if project == "keystone" else "",
        )
        for project, name in SETTINGS.items()
    ]


def finish_template(place: Layout) -> None:
    """Give the template its name, once all its jobs are done; drop the templates of other versions."""
    part = find_template(place).with_suffix(".new")
    if part.exists():
        shutil.rmtree(part / "conf")
        part.rename(find_template(place))
    for other in place.templates.iterdir():
        if other != find_template(place):
            shutil.rmtree(other, ignore_errors=True)


def make_state(place: Layout) -> None:
    """A new state from the template. It gets its name when it is whole."""
    part = place.state.with_name("state.new")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(find_template(place), part)
    (part / MADE_BY).write_text(layout.digest_state(place.root), encoding="ascii")
    part.rename(place.state)


def read_maker(place: Layout) -> str | None:
    """The digest of the version that made the state; None without a state."""
    try:
        return (place.state / MADE_BY).read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def check_state(place: Layout) -> None:
    """Raise LabError when a database does not pass SQLite's own check. Only for a lab whose services are stopped."""
    for path in sorted((place.state / "db").glob("*.sqlite")):
        try:
            with sqlite3.connect(path) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            raise LabError(
                f"the lab's database {path.name} is damaged: {verdict}", hint="invoke lab.reset makes a new lab"
            )
