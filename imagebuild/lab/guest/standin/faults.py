"""The WS-Management faults that the server answers with: Windows' codes (wsmerror.h) and the words that people search for."""

from __future__ import annotations


class Fault(Exception):
    """An answer that says no. `subcode` is WS-Management's word, `code` is Windows'."""

    def __init__(self, code: int, subcode: str, text: str, *, receiver: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.subcode = subcode
        self.text = text
        self.blame = "Receiver" if receiver else "Sender"


def timed_out() -> Fault:
    """Nothing to tell within the client's OperationTimeout; it asks again."""
    return Fault(
        2150858793,
        "TimedOut",
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
        receiver=True,
    )


def no_such_shell(shell: str) -> Fault:
    """The shell was closed, or the machine restarted."""
    return Fault(
        2150858843,
        "InvalidSelectors",
        f"The request for the Windows Remote Shell with ShellId {shell} failed because the shell was not found on the "
        "server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server.",
    )


def no_such_command(command: str) -> Fault:
    """The command was ended by a signal, or all of it was received."""
    return Fault(
        2150858843, "InvalidSelectors", f"The shell has no command with CommandId {command}: it is unknown or over."
    )


def too_many_shells(most: int) -> Fault:
    """MaxShellsPerUser."""
    return Fault(
        2150859173,
        "QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of "
        f"{most} concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user.",
    )


def too_large(largest: int) -> Fault:
    """MaxEnvelopeSizekb."""
    return Fault(
        2150858805,
        "EncodingLimit",
        f"The WS-Management service cannot process the request because it is larger than {largest} bytes "
        "(MaxEnvelopeSizekb). Send smaller messages.",
    )


def unknown_resource(uri: str) -> Fault:
    """Anything but the command shell, for instance a PowerShell remoting session."""
    return Fault(
        2150858811,
        "DestinationUnreachable",
        f"The stand-in for Windows has no resource {uri!r}: only the command shell.",
    )


def unknown_action(action: str) -> Fault:
    """Actions other than those of the command shell."""
    return Fault(2150858771, "ActionNotSupported", f"The stand-in for Windows does not support the action {action!r}.")


def malformed(what: str) -> Fault:
    """The envelope lacks something, or is no XML."""
    return Fault(2150858817, "SchemaValidationError", f"The request is not as WS-Management wants it: {what}.")


def refused(code: int, text: str) -> Fault:
    """What the model of Windows refuses, in its own words."""
    return Fault(code, "InternalError", text, receiver=True)
