"""The tree of errors: what a person is told, and which exit code a script gets."""

import inspect

import pytest

from imagebuild import errors
from imagebuild.errors import ImagebuildError, ScriptFailed

TREE = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_tree_and_drawn(kind: type[Exception]) -> None:
    assert issubclass(kind, ImagebuildError)
    assert f" {kind.__name__} " in (errors.__doc__ or "").replace("\n", " ")
    assert kind.__doc__


def test_the_drawn_exit_codes_are_the_real_ones() -> None:
    codes = {kind.__name__: kind.exit_code for kind in TREE}
    assert {name: code for name, code in codes.items() if code != 1} == {
        "RecipeError": 2,
        "Busy": 3,
        "RollRefused": 2,
        "LeftToOthers": 7,
        "Interrupted": 130,
    }
    assert errors.UNCHANGED not in {0, *codes.values()}, "a script must be able to tell it from every failure"


def test_an_error_reads_as_its_sentence_and_keeps_the_rest() -> None:
    error = ImagebuildError("it broke", hint="mend it", details=["one", "two"])
    assert (str(error), error.hint, error.details, error.after) == ("it broke", "mend it", ("one", "two"), ())


def test_a_failed_script_names_itself_and_windows_code() -> None:
    error = ScriptFailed("denied", script="Install-Updates", hresult="0x80070005")
    assert (error.script, error.hresult, error.exit_code) == ("Install-Updates", "0x80070005", 1)
