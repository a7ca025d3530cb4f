"""A record in a property: it comes back as it was, the same one gives the same text, and it always fits."""

import random

import pytest

from imagebuild.image_record import LONGEST, TooLong, pack, pack_fitting, unpack


def noise(length: int) -> str:
    """Text that does not get shorter."""
    return random.Random(7).randbytes(length // 2).hex()


def test_it_comes_back_as_it_was() -> None:
    record = {"recipe": "win7-vdi", "steps": [["boot-builder", 12.5]], "updates": {"KB1": "설치"}, "none": None}
    assert unpack(pack(record)) == record


def test_the_same_record_gives_the_same_text_in_letters_that_every_header_and_database_takes() -> None:
    first, second = pack({"a": 1, "b": "설치"}), pack({"b": "설치", "a": 1})
    assert first == second
    assert first.isascii()
    assert first.isprintable()


def test_windows_with_thousands_of_lines_fits() -> None:
    names = {f"KB{number}": "installed" for number in range(4_000_000, 4_004_000)}
    assert len(pack({"updates": names})) < LONGEST


def test_what_is_too_long_is_refused_before_any_cloud_does() -> None:
    with pytest.raises(TooLong, match="60000 fit"):
        pack({"noise": noise(200_000)})


def test_the_least_useful_parts_go_first_and_only_as_many_as_it_takes() -> None:
    record = {"id": "b", "services": noise(60_000), "appx": noise(60_000), "updates": {"KB1": "installed"}}
    text, left_out = pack_fitting(record, least_useful=("certificates", "services", "appx", "updates"))
    assert left_out == ("services",)
    assert unpack(text) == {"id": "b", "appx": record["appx"], "updates": record["updates"], "left_out": ["services"]}


def test_a_record_that_fits_is_whole() -> None:
    text, left_out = pack_fitting({"updates": {}}, least_useful=("updates",))
    assert (unpack(text), left_out) == ({"updates": {}, "left_out": []}, ())


def test_what_must_stay_and_does_not_fit_is_refused() -> None:
    with pytest.raises(TooLong):
        pack_fitting({"id": noise(200_000), "updates": {}}, least_useful=("updates",))


@pytest.mark.parametrize("text", ["", "no record", "AAAA", pack({"a": "b"})[:-8], pack({"a": "b"}) + "=", "설치"])
def test_what_is_no_record_is_none(text: str) -> None:
    assert unpack(text) is None


def test_a_list_is_no_record() -> None:
    assert unpack(pack([1, 2])) is None  # type: ignore[arg-type]
