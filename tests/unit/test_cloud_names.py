"""Which clouds this machine knows by name."""

from pathlib import Path

from imagebuild.adapters.cloud_names import configured_clouds


def test_names_stand_in_order(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("clouds:\n  b: {auth: {auth_url: http://b}}\n  a: {auth: {auth_url: http://a}}\n")
    assert configured_clouds([path]) == ("a", "b")
