"""Serves one OpenStack API under cheroot: small, pure Python, with native threads."""

import importlib
import threading
from typing import Any

from labservices import link, sqlite

KEEP_ALIVE_SECONDS = 300


class Input:
    """A request body that cannot be closed. Glance closes it after a chunked upload, and under cheroot that closes the reading side of
    the whole keep-alive connection: the client's next request dies, and Nova then deletes the snapshot that it has just uploaded."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def __iter__(self) -> Any:
        return iter(self._body)

    def close(self) -> None:
        """Nothing: cheroot closes it when the request is over."""


def make_server(application: Any, port: int, threads: int = 10) -> Any:
    """A server for a WSGI application on loopback, bound and listening but not yet serving."""
    from cheroot import wsgi

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = Input(environ["wsgi.input"])
        return application(environ, start_response)

    server = wsgi.Server(
        ("127.0.0.1", port), serve, numthreads=threads, timeout=KEEP_ALIVE_SECONDS, request_queue_size=128
    )
    server.max_request_body_size = 0
    server.prepare()
    return server


def serve_beside(application: Any, port: int, threads: int = 10) -> None:
    """Serve in a thread, for a process that has other work, too."""
    server = make_server(application, port, threads)
    threading.Thread(target=server.serve, name="api", daemon=True).start()


def main(module: str, port: str) -> None:
    """The whole life of a service that is nothing but a web API: `module` has the WSGI `application`."""
    sqlite.install()
    application = importlib.import_module(module).application
    server = make_server(application, int(port))
    link.tell_ready()
    server.serve()
