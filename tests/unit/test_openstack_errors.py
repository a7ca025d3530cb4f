"""Every kind of bad answer becomes the right error, says what was tried, and holds no secret."""

import json

import pytest

from imagebuild.adapters.openstack_errors import (
    Answer,
    AnswerLost,
    ServiceFailed,
    make_error,
    read_retry_after,
    read_words,
)
from imagebuild.errors import CloudError, CloudRefused, CloudUnreachable, NotFound
from imagebuild.secrets import Secret

NOVA_QUOTA = '{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}}'
NEUTRON_QUOTA = '{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: [\'security_group\'].", "detail": ""}}'
CINDER_QUOTA = (
    '{"overLimit": {"code": 413, "message": "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded"}}'
)


@pytest.mark.parametrize(
    ("status", "text", "kind", "hint"),
    [
        (400, '{"badRequest": {"code": 400, "message": "Invalid input"}}', CloudError, "did not accept"),
        (401, '{"error": {"code": 401, "message": "The request you have made requires authentication."}}', CloudRefused, "password"),
        (403, NOVA_QUOTA, CloudRefused, "quota"),
        (409, NEUTRON_QUOTA, CloudRefused, "quota"),
        (413, CINDER_QUOTA, CloudRefused, "quota"),
        (413, "<html><h1>Request Entity Too Large</h1></html>", CloudRefused, "larger than"),
        (403, '{"forbidden": {"message": "Policy does not allow it"}}', CloudRefused, "role"),
        (404, '{"itemNotFound": {"message": "Instance x could not be found."}}', NotFound, "exist"),
        (409, '{"conflictingRequest": {"message": "Cannot stop while it is in vm_state building"}}', CloudRefused, "in use"),
        (429, "", AnswerLost, "overloaded"),
        (500, '{"computeFault": {"message": "Unexpected API Error."}}', ServiceFailed, "operator"),
        (501, "", CloudUnreachable, "operator"),
        (502, "<html>Bad Gateway</html>", AnswerLost, "overloaded"),
        (503, "", AnswerLost, "overloaded"),
        (504, "", AnswerLost, "overloaded"),
    ],
)  # fmt: skip
def test_status_decides_the_kind_of_error(status: int, text: str, kind: type[CloudError], hint: str) -> None:
    error = make_error("create the server 'b'", Answer(status, {}, text))
    assert type(error) is kind
    assert hint in error.hint
    assert str(error).startswith(f"could not create the server 'b': {status}")


def test_only_a_429_was_surely_not_done() -> None:
    done = {status: make_error("x", Answer(status)) for status in (429, 503)}
    assert isinstance(done[429], AnswerLost) and done[429].surely_not_done
    assert isinstance(done[503], AnswerLost) and not done[503].surely_not_done


def test_the_request_id_is_told() -> None:
    error = make_error("x", Answer(500, {"x-openstack-request-id": "req-1"}))
    assert "req-1" in str(error) and "req-1" in error.hint


def test_a_password_that_the_service_quotes_back_is_hidden() -> None:
    secret = Secret('Geheim-"1234')
    message = f"Invalid input for field/attribute adminPass. Value: {secret.reveal()}. 1 is not of type 'string'"
    error = make_error("create a server", Answer(400, {}, json.dumps({"badRequest": {"message": message}})))
    assert "Geheim" not in str(error) and "***" in str(error)


def test_a_secret_at_the_cut_is_hidden_whole() -> None:
    secret = Secret("S3cret-that-would-be-cut")
    assert "S3cret" not in read_words("x" * 390 + secret.reveal())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"NeutronError": {"message": "m", "type": "t"}}', "m"),
        ('{"error": {"message": "m", "code": 401}}', "m"),
        ('{"message": "m"}', "m"),
        ('{"faultstring": "m"}', "m"),
        ('{"code": "x", "title": "t"}', "x"),
        ("<html><title>403 Forbidden</title><body>Image is &quot;protected&quot;</body></html>", '403 Forbidden Image is "protected"'),
        ("plain words", "plain words"),
        ("[1, 2]", "[1, 2]"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_sentence_is_found_in_every_wrapping(text: str, words: str) -> None:
    assert read_words(text) == words


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("1.5", 1.5), ("-3", 0.0), ("Fri, 31 Dec 1999", 0.0)])
def test_retry_after(header: str, seconds: float) -> None:
    assert read_retry_after(Answer(503, {"retry-after": header})) == seconds


def test_a_login_page_is_no_json() -> None:
    with pytest.raises(CloudError, match="not a JSON object") as caught:
        Answer(200, {}, "<html>please log in</html>").json()
    assert caught.value.details == ("please log in",)
