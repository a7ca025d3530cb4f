"""Nova's VNC proxy as a process of its own."""

import sys

from labservices import link, sqlite


def main(config_file: str) -> None:
    """Serve until SIGTERM. The token is checked in the cell database as always; only the extra call to the compute host is left out:
    over the in-memory transport no other process can be asked."""
    link.await_needs()
    sys.argv = ["nova-novncproxy", "--config-file", config_file]
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    sqlite.install()
    from nova.cmd import novncproxy
    from nova.console import websocketproxy

    websocketproxy.NovaProxyRequestHandler._check_console_port = lambda *_args: True
    link.tell_ready()  # it listens some milliseconds later, and nobody starts with the console
    novncproxy.main()
