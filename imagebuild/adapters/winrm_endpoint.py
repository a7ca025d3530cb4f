"""The way to a guest's WinRM: HTTPS with the one pinned certificate, or, where a recipe says so aloud, something weaker."""

import socket
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from winrm.protocol import Protocol
from winrm.transport import Transport

from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret

OPERATION_SECONDS = 20  # how long Windows may hold a Receive open before it says "nothing yet"
READ_SECONDS = 30


# A guest that reboots hard leaves its connections without a word: the kernel would go on asking for half a minute, and wait
# on an idle one for hours. Not every system has all of these.
_WANTED = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 8000,  # milliseconds
}
_NOTICE_THE_DEAD = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _WANTED.items() if hasattr(socket, name)),
]


class GuestAdapter(HTTPAdapter):
    """Connections that notice a dead guest; with `sha256` only to the one certificate, whoever signed it and whatever name is in it."""

    def __init__(self, sha256: str | None) -> None:
        self._sha256 = sha256
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """urllib3 compares the certificate after the handshake and before a byte of HTTP is sent."""
        super().init_poolmanager(*args, **options, assert_fingerprint=self._sha256, socket_options=_NOTICE_THE_DEAD)


class GuestTransport(Transport):  # type: ignore[misc]  # pywinrm is not checked
    """pywinrm's transport whose every session, also one made anew after a close, goes over our adapter."""

    def __init__(self, sha256: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._sha256 = sha256

    def build_session(self) -> Any:
        """Put the adapter in before the first request."""
        session = super().build_session()
        self._mount(session)
        return session

    def setup_encryption(self, session: Any) -> None:
        """Over plain HTTP pywinrm's build_session asks for NTLM's keys already."""
        self._mount(session)
        super().setup_encryption(session)

    def _mount(self, session: Any) -> None:
        """Once: NTLM authenticates a connection, and the connections are the adapter's."""
        if not isinstance(session.get_adapter("https://"), GuestAdapter):
            adapter = GuestAdapter(self._sha256)
            for scheme in ("https://", "http://"):
                session.mount(scheme, adapter)


@dataclass(frozen=True)
class Endpoint:
    """Where and as whom. `certificate_sha256` None needs `insecure` (any certificate) or `http` (5985, NTLM encrypts)."""

    address: str
    user: str
    password: Secret
    certificate_sha256: str | None
    insecure: bool = False
    http: bool = False
    port: int | None = None

    def __post_init__(self) -> None:
        if self.certificate_sha256 is None and not (self.insecure or self.http):
            raise RecipeError(
                f"no certificate is known for {self.address}",
                hint="the builder tells it on its serial console; a recipe can say aloud that it does without",
            )

    @property
    def url(self) -> str:
        """The whole URL: pywinrm would guess the port from the transport."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        scheme, port = ("http", 5985) if self.http else ("https", 5986)
        return f"{scheme}://{host}:{self.port or port}/wsman"

    def open(self) -> Protocol:
        """A new Protocol; nothing is sent yet. The environment's proxies are not for guests."""
        protocol = Protocol(
            self.url,
            transport="ntlm",
            username=self.user,
            password=self.password.reveal(),
            operation_timeout_sec=OPERATION_SECONDS,
            read_timeout_sec=READ_SECONDS,
        )
        protocol.transport = GuestTransport(
            None if self.http else self.certificate_sha256,
            endpoint=self.url,
            username=self.user,
            password=self.password.reveal(),
            auth_method="ntlm",
            server_cert_validation="ignore",  # the pin is the validation
            read_timeout_sec=READ_SECONDS,
            proxy=None,
        )
        return protocol
