"""From a name in clouds.yaml to a cloud: what can be wrong before the first real call."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import DiscoveryFailure

from imagebuild.adapters.openstack_cloud import _adapter, connect_cloud
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


class PlayedCatalogue:
    """keystoneauth's session: whether it was to ask the service itself for its version is written down."""

    def __init__(self, *, named: bool, told: bool) -> None:
        self.asked: list[bool] = []
        self._named, self._told = named, told

    def get_endpoint_data(self, auth: object = None, *, discover_versions: bool = True, **place: object) -> Any:
        assert (place["service_type"], place["interface"]) == ("compute", "public")
        self.asked.append(discover_versions)
        known = self._named or (discover_versions and self._told)
        return SimpleNamespace(url="http://cloud/compute", api_version=(2, 1) if known else None)


class PlayedConfig:
    """One cloud of clouds.yaml."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.get_endpoint = lambda kind: endpoint
        self.get_service_type = lambda kind: kind
        self.get_interface = lambda kind: "public"
        self.get_service_name = self.get_region_name = lambda kind: None


@pytest.mark.parametrize(
    ("named", "told", "asked"), [(True, True, [False]), (False, True, [False, True]), (False, False, [False, True])]
)
def test_a_service_is_asked_for_its_version_only_where_its_address_does_not_name_it(
    named: bool, told: bool, asked: list[bool]
) -> None:
    """Without a version it is no address: Glance's list of versions looks like an empty list of images."""
    session = PlayedCatalogue(named=named, told=told)
    with nullcontext() if named or told else pytest.raises(DiscoveryFailure, match="compute_endpoint_override"):
        _adapter(PlayedConfig(), session, "compute", version=(2,))
    assert session.asked == asked


def test_an_address_that_a_person_has_given_is_taken_as_it_is() -> None:
    session = PlayedCatalogue(named=False, told=False)
    assert _adapter(PlayedConfig("http://here/v2.1"), session, "compute", version=(2,)).endpoint_override
    assert session.asked == []
