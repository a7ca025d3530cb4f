"""What pywinrm, requests and the NTLM library raise, as one of our guest errors."""

from xml.etree.ElementTree import ParseError

import requests
from spnego.exceptions import SpnegoError
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from imagebuild.errors import GuestError, GuestRefused, GuestUnreachable, SessionLost
from imagebuild.secrets import hide

# Everything that a call of pywinrm can raise. The last four stand for an answer that is no WS-Management: pywinrm asserts
# and takes the first element that it looks for; requests_ntlm raises PermissionError and KeyError without a challenge.
FAILURES = (
    requests.RequestException,
    WinRMError,
    WinRMTransportError,
    WinRMOperationTimeoutError,
    SpnegoError,
    PermissionError,
    KeyError,
    ParseError,
    StopIteration,
    AssertionError,
)

_ACCESS_DENIED = frozenset({5, 0x80070005})
_LOST = {
    0x8033805B: "the shell was not found on the server (a reboot, an idle timeout)",
    995: "the operation was aborted",
    1115: "Windows is shutting down",
    0x8007045B: "Windows is shutting down",
    1726: "the remote procedure call failed",
    0x800703FA: "the profile was unloaded under the shell",
}
_CROWDED = {
    0x803381A5: "too many shells of this user are open (5 on Windows 7)",
    0x803381A6: "too many operations of this user are under way (15 on Windows 7)",
}


class LogonRefused(GuestRefused):
    """401 after the whole NTLM exchange: the wrong password, or one that is not set yet."""


class WrongCertificate(GuestRefused):
    """Another certificate than the pinned one: waiting does not heal this."""


def make_guest_error(error: Exception, *, doing: str, address: str) -> GuestError:
    """Our error for one of FAILURES. `doing` reads on from "could not"; nothing of the command or its input is quoted."""
    where = f"could not {doing} on {address}"
    if isinstance(error, requests.exceptions.SSLError):
        return _read_tls(error, where)
    if isinstance(error, requests.Timeout | WinRMOperationTimeoutError):
        return GuestUnreachable(
            f"{where}: no answer in time", hint="is it booting, and may this machine reach its port?"
        )
    if isinstance(error, requests.RequestException):
        words = hide(str(error))
        return GuestUnreachable(f"{where}: {words}", hint="is it booting, and may this machine reach its port?")
    if isinstance(error, InvalidCredentialsError):
        return LogonRefused(
            f"{where}: the user or the password is refused",
            hint="during a boot this passes; else look whether Cloudbase-Init has set the password",
        )
    if isinstance(error, WSManFaultError):
        return _read_fault(error, where)
    if isinstance(error, WinRMTransportError):
        hint = "WinRM is starting or stopping, or something else answers on its port"
        return GuestUnreachable(f"{where}: HTTP status {error.code}", hint=hint)
    if isinstance(error, SpnegoError | PermissionError):
        return GuestRefused(f"{where}: NTLM was refused", hint="Negotiate must be allowed in winrm/config/service/auth")
    return GuestUnreachable(
        f"{where}: the answer is no WS-Management ({type(error).__name__})", hint="what listens on this port?"
    )


def _read_tls(error: requests.exceptions.SSLError, where: str) -> GuestError:
    words = hide(str(error))
    if "ingerprint" in words:  # urllib3: "Fingerprints did not match. Expected ..., got ..."
        return WrongCertificate(
            f"{where}: its certificate is not the one that was told on its serial console",
            hint="another machine may have this address; compare `openstack console log show` with the certificate",
            details=(words,),
        )
    return GuestUnreachable(f"{where}: no TLS: {words}", hint="Windows 7 without TLS 1.2 answers like this, too")


def _read_fault(error: WSManFaultError, where: str) -> GuestError:
    # Some faults carry the code as a negative 32-bit number, some only in the WMI part.
    codes = {int(code) & 0xFFFFFFFF for code in (error.wsman_fault_code, error.wmierror_code) if code is not None}
    shown = ", ".join(f"0x{code:08X}" for code in sorted(codes)) or "no code"
    for code in codes & _LOST.keys():
        return SessionLost(f"{where}: {_LOST[code]} ({shown})", hint="what ran as SYSTEM may still run: look again")
    if codes & _ACCESS_DENIED:
        return GuestRefused(
            f"{where}: access denied ({shown})",
            hint="is the user an administrator, with a full token over the network? sysprep refuses new shells, too",
        )
    for code in codes & _CROWDED.keys():
        return GuestUnreachable(f"{where}: {_CROWDED[code]} ({shown})", hint="Windows closes idle ones after minutes")
    return GuestError(f"{where}: {hide(str(error.reason))} ({shown})", hint="look into the guest's WinRM event log")
