"""Answers WS-Management requests for command shells: create, command, receive, send, signal, delete, and Identify."""

from __future__ import annotations

import base64
import binascii

from imagebuild.lab.guest.standin import faults
from imagebuild.lab.guest.standin.envelope import (
    COMMAND_SHELL,
    SHELL,
    TRANSFER,
    Asked,
    escape,
    is_identify,
    parse_root,
    read_request,
    write_answer,
    write_fault,
    write_identity,
)
from imagebuild.lab.guest.standin.host import Host
from imagebuild.lab.guest.standin.machine import WinRmRefused
from imagebuild.lab.guest.standin.shells import Shell, Shells

ENVELOPE_ROOM = 4096
"""Bytes of an answer that are not output."""
TRUE = ("true", "1")


class Service:
    """The WinRM service of one Windows. Connections hand it what authenticated users send."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._shells = Shells()

    def answer(self, text: bytes, user: str | None) -> tuple[int, bytes] | None:
        """(HTTP status, envelope) for a request of `user`. Without a user only Identify is answered, the rest gives None."""
        message_id = ""
        try:
            largest = self._host.settings().max_envelope_kb * 1024
            if len(text) > largest:
                raise faults.too_large(largest)
            root = parse_root(text)
            if is_identify(root):
                return 200, write_identity()
            if user is None:
                return None
            asked = read_request(root)
            message_id = asked.message_id
            action, body = self._act(asked, user)
            return 200, write_answer(action, message_id, body)
        except faults.Fault as fault:
            return 500, write_fault(fault, message_id, machine=self._host.computer_name())

    def _act(self, asked: Asked, user: str) -> tuple[str, str]:
        """(the answer's action, its body)."""
        if asked.resource.rstrip("/") != COMMAND_SHELL:
            raise faults.unknown_resource(asked.resource)
        if asked.action == f"{TRANSFER}/Create":
            return f"{TRANSFER}/CreateResponse", self._create(asked, user)
        shell = self._shells.find(asked.selectors.get("ShellId", ""))
        if asked.action == f"{TRANSFER}/Delete":
            self._shells.close(shell.id)
            return f"{TRANSFER}/DeleteResponse", ""
        acts = {"Command": _run, "Receive": _receive, "Send": _send, "Signal": _signal}
        name = asked.action.removeprefix(f"{SHELL}/")
        if name not in acts:
            raise faults.unknown_action(asked.action)
        return f"{SHELL}/{name}Response", acts[name](asked, shell, self._host)

    def _create(self, asked: Asked, user: str) -> str:
        try:
            self._host.open_shell()
        except WinRmRefused as refusal:
            raise faults.refused(refusal.code, refusal.text) from refusal
        variables = {item.get("Name", ""): item.text or "" for item in asked.body.iter(f"{{{SHELL}}}Variable")}
        codepage = asked.options.get("WINRS_CODEPAGE", "437")
        shell = Shell(user, variables, int(codepage) if codepage.isdigit() else 437)
        self._shells.open(shell, most=self._host.settings().max_shells_per_user)
        return (
            f"<x:ResourceCreated><a:Address>http://{escape(self._host.computer_name())}/wsman</a:Address>"
            f"<a:ReferenceParameters><w:ResourceURI>{COMMAND_SHELL}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{shell.id}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
            f"</x:ResourceCreated><rsp:Shell><rsp:ShellId>{shell.id}</rsp:ShellId>"
            f"<rsp:ResourceUri>{COMMAND_SHELL}</rsp:ResourceUri><rsp:Owner>{escape(user)}</rsp:Owner>"
            "<rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"
        )


def _run(asked: Asked, shell: Shell, host: Host) -> str:
    words = [asked.find("Command").text or ""]
    words += [item.text or "" for item in asked.body.iter(f"{{{SHELL}}}Arguments")]
    command_id = shell.run(
        " ".join(word for word in words if word),
        command_id=asked.find("CommandLine").get("CommandId"),
        without_cmd=asked.options.get("WINRS_SKIP_CMD_SHELL", "").lower() in TRUE,
        host=host,
    )
    return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"


def _receive(asked: Asked, shell: Shell, host: Host) -> str:
    command_id = asked.find("DesiredStream").get("CommandId", "").upper()
    largest = min(asked.largest, host.settings().max_envelope_kb * 1024)
    most = max(1024, (largest - ENVELOPE_ROOM) * 3 // 4)  # base64 makes four bytes of three
    received = shell.find(command_id).receive(asked.timeout, most=most)
    if received is None:
        raise faults.timed_out()
    parts = [
        f'<rsp:Stream Name="{name}" CommandId="{command_id}">{base64.b64encode(text).decode()}</rsp:Stream>'
        for name, text in received.pieces
    ]
    state, code = "Running", ""
    if received.exit_code is not None:
        shell.commands.pop(command_id, None)
        parts += [f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"/>' for name in ("stdout", "stderr")]
        state, code = "Done", f"<rsp:ExitCode>{received.exit_code}</rsp:ExitCode>"
    parts.append(
        f'<rsp:CommandState CommandId="{command_id}" State="{SHELL}/CommandState/{state}">{code}</rsp:CommandState>'
    )
    return f"<rsp:ReceiveResponse>{''.join(parts)}</rsp:ReceiveResponse>"


def _send(asked: Asked, shell: Shell, host: Host) -> str:
    del host
    for stream in asked.body.iter(f"{{{SHELL}}}Stream"):
        try:
            text = base64.b64decode(stream.text or "")
        except binascii.Error as error:
            raise faults.malformed("a stream that is not base64") from error
        command = shell.commands.get(stream.get("CommandId", "").upper())
        if command is not None:  # one that is over has closed its input: what comes then is lost, and no error
            command.send(text, end=stream.get("End", "").lower() in TRUE)
    return "<rsp:SendResponse/>"


def _signal(asked: Asked, shell: Shell, host: Host) -> str:
    """terminate and Ctrl-C alike end the command. For one that is over it succeeds: every client sends it at the end."""
    del host
    command = shell.commands.pop(asked.find("Signal").get("CommandId", "").upper(), None)
    if command is not None:
        command.stop()
    return "<rsp:SignalResponse/>"
