"""Secrets: never printed, hidden in every form in which we write, made for Windows' rule, read from references only."""

import json
import string
from pathlib import Path

import pytest

from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret, hide, make_password, read_secret

AWKWARD = 'pass"word\\with한글\tand more'


def test_a_secret_never_prints_itself() -> None:
    secret = Secret("hunter2-hunter2")
    for text in (str(secret), repr(secret), f"{secret}", f"{[secret]}", f"{ {'a': secret} }"):
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2-hunter2"


@pytest.mark.parametrize("value", [AWKWARD, "plain-and-simple", "a$b&c<d>'e"])
def test_it_is_hidden_as_it_is_and_as_json_escapes_it(value: str) -> None:
    Secret(value)
    assert hide(f"login with {value}!") == "login with ***!"
    line = hide(json.dumps({"text": f"x {value} y"}))
    assert json.loads(line) == {"text": "x *** y"}


def test_a_secret_within_another_does_not_leave_its_rest() -> None:
    Secret("inner-secret")
    Secret("the-inner-secret-and-more")
    assert hide("[the-inner-secret-and-more] [inner-secret]") == "[***] [***]"


def test_a_value_of_three_letters_does_not_star_whole_logs() -> None:
    Secret("cat")
    assert hide("concatenate") == "concatenate"


@pytest.mark.parametrize("length", [12, 20, 64])
def test_passwords_have_all_four_classes_and_nothing_that_a_shell_or_xml_reads(length: int) -> None:
    allowed = set(string.ascii_letters + string.digits + "-_.+")
    for _ in range(200):
        text = make_password(length).reveal()
        assert len(text) == length
        assert text[0].isalpha()
        assert set(text) <= allowed
        assert any(c.isupper() for c in text)
        assert any(c.islower() for c in text)
        assert any(c.isdigit() for c in text)
        assert any(c in "-_.+" for c in text)


def test_passwords_differ_and_are_hidden_from_birth() -> None:
    one, other = make_password(), make_password()
    assert one != other
    assert hide(one.reveal()) == "***"


def test_a_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_TOKEN", "token-from-the-environment")
    assert read_secret("env:BROKER_TOKEN").reveal() == "token-from-the-environment"
    monkeypatch.delenv("BROKER_TOKEN")
    with pytest.raises(RecipeError, match="BROKER_TOKEN is not set") as caught:
        read_secret("env:BROKER_TOKEN")
    assert "export BROKER_TOKEN" in caught.value.hint


def test_a_secret_in_a_file_is_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-line-한글\nsecond\n", encoding="utf-8")
    assert read_secret(f"file:{file}").reveal() == "first-line-한글"


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"\nsecond", "is empty"), (b"\xff\xfe\xd8x", "cannot be read")]
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=words):
        read_secret(f"file:{file}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        read_secret(f"file:{tmp_path / 'none'}")


@pytest.mark.parametrize("reference", ["plain-secret-in-git", "env:", "file:", "vault:x", ""])
def test_a_plain_value_is_refused_without_being_repeated(reference: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_secret(reference)
    assert "plain-secret-in-git" not in f"{caught.value} {caught.value.hint} {caught.value.details}"
