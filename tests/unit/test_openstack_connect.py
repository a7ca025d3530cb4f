"""From a name in clouds.yaml to a cloud: what can be wrong before the first real call."""

from pathlib import Path

import pytest

from imagebuild.adapters.openstack_cloud import connect_cloud
from imagebuild.errors import CloudError, CloudUnreachable
from tests.fakes.clock import FakeClock

CLOUDS = """
clouds:
  nowhere:
    auth: {auth_url: "http://127.0.0.1:1/v3", username: u, password: geheim-123, project_name: p, user_domain_id: d, project_domain_id: d}
  half:
    auth: {username: u}
"""


@pytest.fixture
def clouds_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "clouds.yaml"
    path.write_text(CLOUDS)
    return path


def test_an_unknown_name_is_told(clouds_yaml: Path) -> None:
    with pytest.raises(CloudError, match="could not use the cloud 'elsewhere'") as caught:
        connect_cloud("elsewhere", config_files=[clouds_yaml])
    assert "clouds.yaml" in caught.value.hint


def test_files_that_are_given_are_read_whatever_the_environment_names(
    clouds_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("clouds: {theirs: {}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(other))
    with pytest.raises(CloudError, match="could not use the cloud 'half'") as caught:
        connect_cloud("half", config_files=[clouds_yaml])
    assert "was not found" not in str(caught.value)


def test_an_entry_without_credentials_is_told(clouds_yaml: Path) -> None:
    with pytest.raises(CloudError, match="could not use the cloud 'half'"):
        connect_cloud("half", config_files=[clouds_yaml])


@pytest.mark.effects
def test_a_cloud_that_is_down_is_waited_for_and_then_told_without_its_password(clouds_yaml: Path) -> None:
    clock = FakeClock()
    with pytest.raises(CloudUnreachable, match="could not use the cloud 'nowhere'") as caught:
        connect_cloud("nowhere", config_files=[clouds_yaml], clock=clock)
    assert clock.slept > 60
    assert "geheim" not in f"{caught.value} {caught.value.hint} {caught.value.details}"
