"""The way from the address of a noVNC console, as Nova gives it, to the bytes of VNC: a websocket, bound by a deadline."""

import asyncio
import logging
import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from imagebuild.adapters.vnc_screen import Screen, read_screen
from imagebuild.errors import CloudError, CloudUnreachable, DeadlinePassed
from imagebuild.secrets import Secret
from imagebuild.waiting import Deadline

_CLOSE_SECONDS = 1.0
# Set to DEBUG, the library's own log would show the token.
_NO_LOG = logging.Logger("console", level=logging.CRITICAL)


def look_at_console(url: Secret, *, verify: bool | str, deadline: Deadline) -> Screen:
    """What the console shows now. `url` carries the token that lets anybody in, so no error quotes it.

    `verify`: the file or folder of CA certificates, True for the system's, False for none, as in clouds.yaml. Raises
    CloudUnreachable when the console's proxy does not answer or hangs up, DeadlinePassed, and CloudError when it is no VNC.
    """
    try:
        return asyncio.run(_look(Secret(websocket_address(url.reveal())), verify=verify, seconds=deadline.left()))
    except TimeoutError:
        raise DeadlinePassed("the console's picture did not come in time") from None
    except ConnectionClosed:
        raise CloudUnreachable("the console's proxy hung up", hint="is the server running?") from None
    except (OSError, WebSocketException) as error:  # their texts may quote the address
        hint = "can this machine reach the console's proxy, and is its certificate signed by the CA of clouds.yaml?"
        raise CloudUnreachable(f"the console's proxy cannot be reached: {type(error).__name__}", hint=hint) from None


async def _look(address: Secret, *, verify: bool | str, seconds: float) -> Screen:
    # asyncio, for websockets' other client reads in a thread, and in Python before 3.13 no two threads may use one TLS connection.
    async with (
        asyncio.timeout(seconds),
        connect(
            address.reveal(),
            ssl=_trust(verify) if address.reveal().startswith("wss:") else None,
            logger=_NO_LOG,
            subprotocols=[Subprotocol("binary")],
            compression=None,
            open_timeout=None,
            close_timeout=_CLOSE_SECONDS,
            ping_interval=None,
            max_size=None,
        ) as connection,
    ):
        return await read_screen(_Console(connection))


def _trust(verify: bool | str) -> ssl.SSLContext:
    if isinstance(verify, str):
        folder = Path(verify).is_dir()
        return ssl.create_default_context(cafile=None if folder else verify, capath=verify if folder else None)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def websocket_address(url: str) -> str:
    """Where noVNC's page would connect to: the same host, its argument `path`, else `websockify`, with the token."""
    page = urlsplit(url)
    asked = parse_qs(page.query)
    if page.scheme not in ("http", "https") or not page.netloc or not asked.keys() & {"path", "token"}:
        raise CloudError(
            "the cloud gave no usable address of a noVNC console", hint="the operator sets novncproxy_base_url"
        )
    path = asked["path"][0] if "path" in asked else f"websockify?token={asked['token'][0]}"
    where, _, query = path.lstrip("/").partition("?")
    return urlunsplit(("wss" if page.scheme == "https" else "ws", page.netloc, f"/{where}", query, ""))


class _Console:
    """The messages of a websocket as a stream of bytes."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._buffer = bytearray()

    async def read(self, count: int) -> bytes:
        """That many bytes."""
        while len(self._buffer) < count:
            message = await self._connection.recv()
            self._buffer += message.encode() if isinstance(message, str) else message
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def write(self, data: bytes) -> None:
        """As one binary message."""
        await self._connection.send(data)
