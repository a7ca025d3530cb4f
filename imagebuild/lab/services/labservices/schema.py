"""Makes the databases of a new lab: one project a process, as their settings are global. `python -m labservices.schema PROJECT FOLDER`
with the settings files in that folder; for keystone a JSON object with the accounts comes on standard input."""

import json
import os
import sqlite3
import sys
import uuid
from pathlib import Path
from typing import Any

NO_CELL = "00000000-0000-0000-0000-000000000000"  # Nova's fixed id of the cell for servers that never found a host


def make_keystone(config_file: str) -> None:
    """Schema, keys, and who there is."""
    from keystone import server
    from keystone.common import fernet_utils
    from keystone.common.sql import upgrades
    from keystone.credential.providers import fernet as credential_fernet

    sys.argv = ["keystone-lab"]
    server.configure(config_files=[config_file])
    import keystone.conf

    conf = keystone.conf.CONF
    upgrades.offline_sync_database_to_version(None)
    for group, limit in (("fernet_tokens", None), ("credential", credential_fernet.MAX_ACTIVE_KEYS)):
        section = getattr(conf, group)
        keys = fernet_utils.FernetUtils(section.key_repository, limit or section.max_active_keys, group)
        keys.create_key_directory(None, None)
        keys.initialize_key_repository(None, None)
    from labservices import identity

    identity.fill(json.load(sys.stdin))


def make_placement(config_file: str) -> None:
    """Schema."""
    from placement.cmd import manage

    _run(manage.main, "--config-file", config_file, "db", "sync")


def make_glance(config_file: str) -> None:
    """Schema."""
    from glance.cmd import manage

    _run(manage.main, "--config-file", config_file, "db", "sync")


def make_cinder(config_file: str) -> None:
    """Schema."""
    from cinder.cmd import manage

    _run(manage.main, "--config-file", config_file, "db", "sync")


def make_neutron(config_file: str) -> None:
    """Schema, from the models: Neutron's migrations alter constraints, which SQLite cannot. Nothing reads the migration stamp."""
    import sqlalchemy
    from neutron.db.migration.models import head
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt("connection")], "database")
    conf(["--config-file", config_file])
    head.get_metadata().create_all(sqlalchemy.create_engine(conf.database.connection))


def make_nova(config_file: str) -> None:
    """Both schemas, and the two cells as rows: `nova-manage cell_v2` would take 11 s for them."""
    from nova import config
    from nova.db import migration

    config.parse_args(["nova-lab", "--config-file", config_file])
    import nova.conf

    conf = nova.conf.CONF
    migration.db_sync(database="api")
    migration.db_sync(database="main")
    api, cell = (_file_of(url) for url in (conf.api_database.connection, conf.database.connection))
    no_cell = cell.with_name("nova_cell0.sqlite")
    with sqlite3.connect(cell) as source, sqlite3.connect(no_cell) as target:
        source.backup(target)
    final = (
        Path(os.environ["LAB_STATE"]) / "db"
    )  # what is made here is a template; the lab runs on a copy in that folder
    rows = (
        (NO_CELL, "cell0", "none:///", f"sqlite:///{final / no_cell.name}"),
        (str(uuid.uuid4()), "cell1", conf.transport_url, f"sqlite:///{final / cell.name}"),
    )
    with sqlite3.connect(api) as connection:
        connection.executemany(
            "insert into cell_mappings (created_at, uuid, name, transport_url, database_connection, disabled)"
            " values (datetime('now'), ?, ?, ?, ?, 0)",
            rows,
        )


def _file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _run(command: Any, *arguments: str) -> None:
    sys.argv = ["manage", *arguments]
    code = command()
    if code:
        sys.exit(code)


MAKERS = {
    "keystone": make_keystone,
    "placement": make_placement,
    "glance": make_glance,
    "cinder": make_cinder,
    "neutron": make_neutron,
    "nova": make_nova,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](sys.argv[2])
