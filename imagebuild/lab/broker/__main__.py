"""`python -m imagebuild.lab.broker SETTINGS.json`: the stand-in broker until SIGTERM or Ctrl-C. It says where it listens."""

import signal
import sys
import threading
from pathlib import Path

from imagebuild.lab.broker.service import read_settings, serve


def main(settings: str) -> None:
    """Serve by this file of settings."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    read = read_settings(Path(settings))
    serve(read, ready=lambda port: print(f"ready https://{read.address}:{port}", flush=True), over=over)


if __name__ == "__main__":
    main(sys.argv[1])
