"""The lab's state: made whole from a template or not at all, and its secrets kept to root."""

import json
import sqlite3
from pathlib import Path

import pytest

from imagebuild.errors import LabError
from imagebuild.lab import databases, layout
from imagebuild.lab.layout import Layout


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def make_template(place: Layout) -> Path:
    template = databases.find_template(place)
    (template / "db").mkdir(parents=True)
    with sqlite3.connect(template / "db" / "nova_api.sqlite") as connection:
        connection.execute("create table t (x)")
    databases.write_accounts(template, databases.make_accounts())
    return template


def test_every_database_has_its_job_after_the_environment_and_only_keystone_gets_the_passwords(place: Layout) -> None:
    jobs = databases.plan_template(place)
    assert {job.name for job in jobs} == {f"database-{name}" for name in databases.SETTINGS}
    assert {job.needs for job in jobs} == {("services-environment",)}
    assert [job.name for job in jobs if job.stdin] == ["database-keystone"]
    accounts = databases.read_accounts(databases.find_template(place).with_suffix(".new"))
    for job in jobs:
        said = " ".join(job.command) + repr(job)
        assert all(secret.reveal() not in said for secret in (accounts.admin, accounts.user, accounts.service))


def test_a_template_that_is_there_needs_no_job(place: Layout) -> None:
    make_template(place)
    assert databases.plan_template(place) == []


def test_finishing_gives_the_name_and_drops_other_versions(place: Layout) -> None:
    other = place.templates / "of-another-version"
    other.mkdir(parents=True)
    databases.plan_template(place)
    databases.finish_template(place)
    assert [path.name for path in place.templates.iterdir()] == [layout.digest_state(place.root)]
    assert not (databases.find_template(place) / "conf").exists()


def test_a_state_is_made_whole_over_what_a_killed_run_left(place: Layout) -> None:
    make_template(place)
    (place.root / "state.new" / "half").mkdir(parents=True)
    assert databases.read_maker(place) is None
    databases.make_state(place)
    assert databases.read_maker(place) == layout.digest_state(place.root)
    assert not (place.state / "half").exists()
    databases.check_state(place)


def test_a_damaged_database_is_named(place: Layout) -> None:
    make_template(place)
    databases.make_state(place)
    (place.state / "db" / "nova_api.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(LabError, match=r"nova_api\.sqlite is damaged") as caught:
        databases.check_state(place)
    assert "lab.reset" in caught.value.hint


def test_accounts_are_random_kept_for_root_and_read_back(tmp_path: Path) -> None:
    accounts = databases.make_accounts()
    databases.write_accounts(tmp_path, accounts)
    assert databases.read_accounts(tmp_path) == accounts
    assert len({accounts.admin.reveal(), accounts.user.reveal(), accounts.service.reveal()}) == 3
    assert (tmp_path / databases.ACCOUNTS).stat().st_mode & 0o777 == 0o600
    assert accounts.user.reveal() not in repr(accounts)


def test_the_builder_is_an_ordinary_member_and_every_service_has_an_address() -> None:
    said = json.loads(databases.describe_identity(databases.make_accounts()))
    users = {user["name"]: user for user in said["users"]}
    assert users["builder"]["roles"] == ["member"]
    assert users["builder"]["project"] == "vdi"
    assert {service["type"] for service in said["services"]} == {"image", "placement", "network", "compute", "volumev3"}
    assert all(service["url"].startswith("http://127.0.0.1:2") for service in said["services"])
