"""Neutron's API in one process, with the lab's data plane beside it."""

import importlib

from labservices import link, sqlite, taps, web


def main(port: str) -> None:
    """Serve until SIGTERM. Ready means: bridges and dnsmasq are there, too."""
    sqlite.install()
    application = importlib.import_module("neutron.wsgi.api").application
    server = web.make_server(application, int(port))
    from neutron_lib.plugins import directory

    driver = directory.get_plugin().mechanism_manager.mech_drivers["labtap"].obj
    assert isinstance(driver, taps.TapDriver)
    driver.begin()
    link.tell_ready()
    server.serve()
