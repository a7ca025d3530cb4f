"""Which change of the lab's source touches what: the digests."""

from pathlib import Path

import pytest

from imagebuild.lab import layout


def test_a_digest_knows_names_and_contents(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("text", encoding="utf-8")
    other.write_text("text", encoding="utf-8")
    digest = layout.digest_files([one])
    assert digest == layout.digest_files([one])
    assert (
        len(
            {
                digest,
                layout.digest_files([other]),
                layout.digest_files([one, other]),
                layout.digest_files([one], "more"),
            }
        )
        == 4
    )
    one.write_text("texT", encoding="utf-8")
    assert digest != layout.digest_files([one])


def test_a_digest_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name, encoding="utf-8")
    assert layout.digest_files(paths) == layout.digest_files(paths[::-1])


def test_a_state_belongs_to_its_root() -> None:
    assert layout.digest_state(Path("/one")) != layout.digest_state(Path("/other"))


def test_what_shapes_a_state_exists() -> None:
    names = {path.name for path in layout.find_services_files()}
    assert names.issuperset(layout.SHAPING_SERVICES)
    assert all((layout.SOURCE / name).is_file() for name in layout.SHAPING)


def test_the_services_code_has_no_compiled_files() -> None:
    assert not [path for path in layout.find_services_files() if path.suffix == ".pyc"]


def test_the_environment_names_another_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(layout.ROOT_VARIABLE, raising=False)
    assert layout.find_layout().root == layout.DEFAULT_ROOT
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(tmp_path))
    assert layout.find_layout().root == tmp_path


def test_constraints_hold_releases_only() -> None:
    lines = [line for line in layout.CONSTRAINTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) > 150
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in lines)
