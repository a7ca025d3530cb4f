"""The way to a guest's WinRM: HTTPS with the one pinned certificate, or, where a recipe says so aloud, something weaker."""

from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from winrm.protocol import Protocol
from winrm.transport import Transport

from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret

OPERATION_SECONDS = 20  # how long Windows may hold a Receive open before it says "nothing yet"
READ_SECONDS = 30


class PinnedAdapter(HTTPAdapter):
    """Accepts exactly one certificate, by its SHA-256, whoever has signed it and whatever name is in it."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """urllib3 compares after the handshake and before a byte of HTTP is sent."""
        super().init_poolmanager(*args, **options, assert_fingerprint=self._sha256)


class PinnedTransport(Transport):  # type: ignore[misc]  # pywinrm is not checked
    """pywinrm's transport whose every session, also one made anew after a close, has the pin."""

    def __init__(self, sha256: str, **options: Any) -> None:
        super().__init__(**options)
        self._sha256 = sha256

    def build_session(self) -> Any:
        """Put the pin in before the first request."""
        fresh = self.session is None
        session = super().build_session()
        if fresh:
            session.mount("https://", PinnedAdapter(self._sha256))
        return session


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
            server_cert_validation="ignore",  # the pin is the validation
            operation_timeout_sec=OPERATION_SECONDS,
            read_timeout_sec=READ_SECONDS,
            proxy=None,
        )
        if not self.http and self.certificate_sha256 is not None:
            protocol.transport = PinnedTransport(
                self.certificate_sha256,
                endpoint=self.url,
                username=self.user,
                password=self.password.reveal(),
                auth_method="ntlm",
                server_cert_validation="ignore",
                read_timeout_sec=READ_SECONDS,
                proxy=None,
            )
        return protocol
