"""pywinrm, the client that imagebuild uses, against the stand-in's server: each way to log on, and what a shell can do."""

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from windows_double import WindowsDouble
from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol

from imagebuild.lab.guest.standin.hardware import certificate_sha256, make_certificate
from imagebuild.lab.guest.standin.listening import Listeners

USER, PASSWORD = "Administrator", "Passw0rd!"
WAYS = {
    "basic": {"scheme": "http", "transport": "basic"},
    "basic-tls": {"scheme": "https", "transport": "basic"},
    "ntlm-sealed": {"scheme": "http", "transport": "ntlm"},
    "ntlm-plain": {"scheme": "http", "transport": "ntlm", "message_encryption": "never"},
    "ntlm-tls": {"scheme": "https", "transport": "ntlm"},
    "ntlm-tls-sealed": {"scheme": "https", "transport": "ntlm", "message_encryption": "always"},
}
Connect = Callable[..., Protocol]


@pytest.fixture
def connect(listeners: Listeners, certificate: tuple[Path, Path]) -> Connect:
    """Makes a pywinrm client. Over HTTPS it trusts the guest's own certificate only."""

    def make(way: str = "ntlm-sealed", *, user: str = USER, password: str = PASSWORD, **options: Any) -> Protocol:
        chosen = {**WAYS[way], **options}
        scheme = chosen.pop("scheme")
        if scheme == "https":
            chosen = {"ca_trust_path": str(certificate[0]), **chosen}
        host = "localhost" if scheme == "https" else "127.0.0.1"
        return Protocol(
            f"{scheme}://{host}:{listeners.port(scheme)}/wsman",
            username=user,
            password=password,
            proxy=None,
            **{"operation_timeout_sec": 10, "read_timeout_sec": 15, **chosen},
        )

    return make


@pytest.fixture
def shell(connect: Connect) -> Iterator[tuple[Protocol, str]]:
    """(client, id of an open shell)."""
    client = connect()
    shell_id = client.open_shell()
    yield client, shell_id
    client.close_shell(shell_id)


def run(client: Protocol, shell_id: str, line: str, **options: Any) -> tuple[bytes, bytes, int]:
    command_id = client.run_command(shell_id, line, **options)
    try:
        return client.get_command_output(shell_id, command_id)
    finally:
        client.cleanup_command(shell_id, command_id)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_log_on_runs_a_command(connect: Connect, way: str) -> None:
    client = connect(way)
    shell_id = client.open_shell()
    assert run(client, shell_id, "echo hello") == (b"hello\r\n", b"", 0)
    client.close_shell(shell_id)


@pytest.mark.parametrize("user", ["administrator", r".\Administrator", r"DOUBLE\Administrator", "Administrator@DOUBLE"])
def test_ntlm_takes_every_form_of_a_local_user(connect: Connect, user: str) -> None:
    client = connect(user=user)
    shell_id = client.open_shell(codepage=65001)
    assert run(client, shell_id, "whoami")[0].lower() == b"administrator 65001"
    client.close_shell(shell_id)


def test_ntlm_takes_a_password_of_any_letters(connect: Connect, windows: WindowsDouble) -> None:
    windows.passwords["관리자"] = "비밀번호 äß€"
    client = connect(user="관리자", password="비밀번호 äß€")
    client.close_shell(client.open_shell())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"user": "nobody"}])
def test_a_wrong_logon_is_refused(connect: Connect, windows: WindowsDouble, way: str, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidCredentialsError):
        connect(way, **wrong).open_shell()
    assert windows.calls == []


def test_basic_is_refused_when_it_is_off(connect: Connect, windows: WindowsDouble) -> None:
    windows.winrm = replace(windows.winrm, basic=False)
    with pytest.raises(InvalidCredentialsError):
        connect("basic-tls").open_shell()


def test_without_allow_unencrypted_plain_messages_need_tls(connect: Connect, windows: WindowsDouble) -> None:
    windows.winrm = replace(windows.winrm, allow_unencrypted=False)
    with pytest.raises(InvalidCredentialsError):
        connect("basic").open_shell()
    with pytest.raises(WinRMTransportError) as error:
        connect("ntlm-plain").open_shell()
    assert error.value.code == 500
    for way in ("ntlm-sealed", "ntlm-tls", "basic-tls"):
        client = connect(way)
        client.close_shell(client.open_shell())


def test_another_certificate_is_not_trusted(connect: Connect, tmp_path: Path) -> None:
    other, _ = make_certificate("localhost", tmp_path)
    with pytest.raises(requests.exceptions.SSLError):
        connect("ntlm-tls", ca_trust_path=str(other)).open_shell()


def test_fingerprint_is_that_of_the_certificate_shown(listeners: Listeners, certificate: tuple[Path, Path]) -> None:
    shown = ssl.get_server_certificate(("127.0.0.1", listeners.port("https") or 0))
    assert certificate_sha256(certificate[0]) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()


def test_output_and_exit_code(shell: tuple[Protocol, str]) -> None:
    assert run(*shell, "complain bad") == (b"", b"bad\r\n", 0)
    assert run(*shell, "exit 3")[2] == 3
    assert run(*shell, "exit -2147024891")[2] == -2147024891
    assert run(*shell, "exit 3221225477")[2] == 3221225477
    assert run(*shell, "nonsense") == (b"", b"nonsense: unknown\r\n", 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_the_model_ends_the_command_and_says_so(shell: tuple[Protocol, str]) -> None:
    out, err, code = run(*shell, "break")
    assert (out, code) == (b"", 1)
    assert b"an error of its own" in err
    for thread in threading.enumerate():  # its trace belongs to this test, not to the next one
        if thread.name == "command break":
            thread.join(10)


def test_arguments_make_one_line(shell: tuple[Protocol, str], windows: WindowsDouble) -> None:
    assert run(*shell, "echo", arguments=["a & b", "<c>"])[0] == b"a & b <c>\r\n"
    assert windows.calls[0].line == "echo a & b <c>"


def test_environment_reaches_the_command(connect: Connect) -> None:
    client = connect()
    shell_id = client.open_shell(env_vars={"ONE": "1", "TWO": "zwei"})
    assert run(client, shell_id, "set")[0] == b"ONE=1;TWO=zwei;"
    client.close_shell(shell_id)


@pytest.mark.parametrize("console_mode", [True, False])
def test_standard_input_until_its_end(shell: tuple[Protocol, str], console_mode: bool) -> None:
    client, shell_id = shell
    command_id = client.run_command(shell_id, "more", console_mode_stdin=console_mode)
    client.send_command_input(shell_id, command_id, b"one\r\n")
    client.send_command_input(shell_id, command_id, b"two" * 40_000, end=True)
    assert client.get_command_output(shell_id, command_id) == (b"one\r\n" + b"two" * 40_000, b"", 0)
    client.cleanup_command(shell_id, command_id)


def test_big_output_comes_whole_and_in_envelopes_that_the_client_takes(shell: tuple[Protocol, str]) -> None:
    out, _, code = run(*shell, "big 1000000")
    assert (len(out), set(out), code) == (1_000_000, {ord("x")}, 0)


def test_many_small_pieces_stay_within_the_envelope(shell: tuple[Protocol, str]) -> None:
    out, err, code = run(*shell, "chatter 5000")
    assert out.split() == [b"%d" % number for number in range(1, 5000, 2)]
    assert err.split() == [b"%d" % number for number in range(0, 5000, 2)]
    assert code == 0


def test_a_silent_command_times_out_and_is_asked_again(connect: Connect) -> None:
    client = connect(operation_timeout_sec=1, read_timeout_sec=5)
    shell_id = client.open_shell()
    command_id = client.run_command(shell_id, "more")
    with pytest.raises(WinRMOperationTimeoutError):
        client.get_command_output_raw(shell_id, command_id)
    client.send_command_input(shell_id, command_id, b"x", end=True)
    assert client.get_command_output(shell_id, command_id) == (b"x", b"", 0)
    client.close_shell(shell_id)


@pytest.mark.parametrize("how", ["cleanup_command", "close_shell"])
def test_a_command_notices_that_it_was_ended(connect: Connect, windows: WindowsDouble, how: str) -> None:
    client = connect()
    shell_id = client.open_shell()
    command_id = client.run_command(shell_id, "block")
    assert client.get_command_output_raw(shell_id, command_id)[0] == b"blocking\r\n"
    getattr(client, how)(*([shell_id, command_id] if how == "cleanup_command" else [shell_id]))
    assert windows.ended.wait(5)


def test_too_many_shells_are_refused_and_a_closed_one_makes_room(connect: Connect, windows: WindowsDouble) -> None:
    windows.winrm = replace(windows.winrm, max_shells_per_user=2)
    client = connect()
    first, second = client.open_shell(), client.open_shell()
    with pytest.raises(WSManFaultError) as error:
        client.open_shell()
    assert error.value.wsman_fault_code == 2150859173
    client.close_shell(first)
    client.close_shell(client.open_shell())
    client.close_shell(second)


def test_a_closed_shell_is_not_found(connect: Connect) -> None:
    client = connect()
    shell_id = client.open_shell()
    client.close_shell(shell_id)
    with pytest.raises(WSManFaultError) as error:
        client.run_command(shell_id, "echo")
    assert error.value.wsman_fault_code == 2150858843


def test_what_windows_refuses_is_a_fault_with_its_code(connect: Connect, windows: WindowsDouble) -> None:
    windows.refusal = (0x800703FA, "Illegal operation attempted on a registry key that has been marked for deletion.")
    with pytest.raises(WSManFaultError) as error:
        connect().open_shell()
    assert error.value.wsman_fault_code == 0x800703FA


def test_an_envelope_over_the_limit_is_refused(connect: Connect, windows: WindowsDouble) -> None:
    windows.winrm = replace(windows.winrm, max_envelope_kb=150)
    client = connect()
    shell_id = client.open_shell()
    command_id = client.run_command(shell_id, "more")
    with pytest.raises(WSManFaultError) as error:
        client.send_command_input(shell_id, command_id, b"x" * 150_000, end=True)
    assert error.value.wsman_fault_code == 2150858805
    client.close_shell(shell_id)


def test_cmd_takes_8191_characters_and_says_so(shell: tuple[Protocol, str], windows: WindowsDouble) -> None:
    long = "echo " + "x" * 9000
    assert run(*shell, long) == (b"", b"The command line is too long.\r\n", 1)
    assert windows.calls == []
    assert len(run(*shell, long, skip_cmd_shell=True)[0]) == 9002


def test_listeners_follow_what_windows_wants(listeners: Listeners, windows: WindowsDouble, tmp_path: Path) -> None:
    first = ssl.get_server_certificate(("127.0.0.1", listeners.port("https") or 0))
    windows.tls = make_certificate("ANEW", tmp_path)
    listeners.follow()
    assert ssl.get_server_certificate(("127.0.0.1", listeners.port("https") or 0)) != first
    windows.wanted = frozenset({"https"})
    listeners.follow()
    assert listeners.port("http") is None
    windows.tls = None
    listeners.follow()
    assert listeners.port("https") is None
