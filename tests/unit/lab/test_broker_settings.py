"""The lab's broker before it runs: its settings are read as written, its code stands alone, its files are those of the pool file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuild.broker_settings import LeostreamSettings
from imagebuild.lab import broker_settings, credentials, packages, service_plan
from imagebuild.lab.broker.pool_checks import find_problems
from imagebuild.lab.broker.service import read_settings
from imagebuild.lab.databases import Accounts
from imagebuild.lab.layout import DEFAULT_ROOT, Layout
from imagebuild.pool.pool_file import load_pool
from imagebuild.secrets import Secret, read_secret

pytestmark = pytest.mark.effects  # openssl makes the certificate

ACCOUNTS = Accounts(Secret("admin-word"), Secret("user-word"), Secret("service-word"))
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    """A lab with nothing in it but the broker's settings."""
    place = Layout(tmp_path)
    place.state.mkdir()
    place.conf.mkdir()
    broker_settings.write_settings(place, ACCOUNTS)
    return place


def test_the_service_reads_what_was_written(place: Layout) -> None:
    settings = read_settings(broker_settings.settings_file(place))
    assert (settings.port, settings.address, settings.folder) == (28443, "127.0.0.1", place.state / "broker")
    assert settings.cloud is not None and settings.cloud.password == "user-word"
    (account,) = settings.accounts
    (pool,) = settings.pools
    assert find_problems(pool, has_image=lambda _: False, center=settings.center.id) == []
    assert account.password not in ("user-word", "admin-word", "service-word")
    for secret in (broker_settings.settings_file(place), place.state / "broker" / "tls" / "broker.key"):
        assert secret.stat().st_mode & 0o077 == 0


def test_the_files_for_people_are_theirs_alone_and_open_the_broker(
    place: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MACHINE_WIDE", place.root / "etc" / "clouds.yaml")
    credentials.write_credentials(place, ACCOUNTS)
    folder = credentials.broker_access(place)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "ca.pem": 0o600,
        "user": 0o600,
        "password": 0o600,
    }
    told = json.loads(broker_settings.settings_file(place).read_text(encoding="utf-8"))
    found = {name: read_secret(f"file:{folder / name}").reveal() for name in ("user", "password")}
    assert told["accounts"] == [{"login": found["user"], "password": found["password"]}]
    assert (folder / "ca.pem").read_bytes() == (place.state / "broker" / "tls" / "ca.pem").read_bytes()


def test_the_pool_file_of_the_lab_names_them() -> None:
    definition = load_pool(PROJECT / "recipes" / "pools" / "lab.yaml")
    folder = credentials.broker_access(Layout(DEFAULT_ROOT))
    assert isinstance(definition.broker, LeostreamSettings)
    assert definition.broker.url == broker_settings.URL
    assert definition.broker.user == f"file:{folder / 'user'}"
    assert definition.broker.password == f"file:{folder / 'password'}"
    assert definition.broker.ca_file == str(folder / "ca.pem")
    assert definition.pool == broker_settings.POOL["name"]
    (rule,) = broker_settings.POOL["pool_definition"]["attributes"]
    assert definition.name_of(1).startswith(rule["text_to_match"])


def test_its_code_stands_alone_and_names_its_version(place: Layout) -> None:
    packages.copy_broker(place)
    code = broker_settings.code_of(place)
    before = code.stat().st_ino
    (place.root / "broker-code-older").mkdir()
    packages.copy_broker(place)
    assert code.stat().st_ino == before
    script = "import imagebuild.lab.broker.service as s; print(s.__file__)"
    environment = {"PYTHONPATH": str(code), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env=environment,
        cwd=place.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(code)


def test_other_code_restarts_the_broker_and_nothing_else(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = service_plan.make_plan(place, fake_hosts=0)["services"]
    found = broker_settings.find_code()
    monkeypatch.setattr(broker_settings, "find_code", lambda: found[1:])
    after = service_plan.make_plan(place, fake_hosts=0)["services"]
    assert [a["name"] for a, b in zip(before, after, strict=True) if a != b] == ["broker"]
