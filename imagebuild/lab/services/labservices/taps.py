"""ML2 mechanism driver 'labtap': Neutron without agents and without Open vSwitch.

One Linux bridge for each network, with the gateway's address on it and one dnsmasq behind it. Ports are bound as VIF type 'tap': Nova
makes the tap device itself, and a watcher here puts every new tap into the bridge of its network.
"""

import subprocess
import threading
from pathlib import Path
from typing import Any

from neutron.db import models_v2
from neutron_lib import constants, context
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg
from oslo_log import log as oslo_log
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from labservices.dhcp import Dhcp, Host, Subnet

LOG = oslo_log.getLogger(__name__)
NETWORKS = Path("/sys/class/net")
TAP_LENGTH = 14  # 'tap' and the first 11 characters of the port's id
SETTLE_SECONDS = 0.05  # a burst of new ports becomes a few reloads of dnsmasq
LOOK_SECONDS = 5.0  # how soon a dnsmasq that somebody killed is started anew

cfg.CONF.register_opts([cfg.StrOpt("folder"), cfg.StrOpt("mark")], "labtap")


def bridge_of(network: str) -> str:
    """The name of a network's bridge."""
    return "ibl" + network[:11]


class TapDriver(api.MechanismDriver):
    """What ML2 calls; the work happens in two threads of its own, so that no API call waits for the data plane."""

    def initialize(self) -> None:
        """Called by ML2 once, before the plugin is complete."""
        self.folder = Path(cfg.CONF.labtap.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._wake = threading.Event()
        self._dhcps: dict[str, Dhcp] = {}

    def begin(self) -> None:
        """Called when the plugin answers: bring bridges, dnsmasqs and taps to what the database says, and keep them so."""
        for network in directory.get_plugin().get_networks(context.get_admin_context()):
            self._sync(network["id"])
        threading.Thread(target=self._work, name="sync", daemon=True).start()
        threading.Thread(target=self._watch, name="taps", daemon=True).start()

    # -- binding
    @property
    def connectivity(self) -> str:
        """A plain layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Every port of a local or flat network can be bound; it is active at once, as nobody would report it later."""
        for segment in context.segments_to_bind:
            if segment[api.NETWORK_TYPE] in ("local", "flat"):
                details = {
                    portbindings.CAP_PORT_FILTER: False,
                    portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
                }
                context.set_binding(segment[api.ID], "tap", details, status=constants.PORT_STATUS_ACTIVE)
                return

    def check_vlan_transparency(self, context: Any) -> bool:
        """No VLANs here."""
        return False

    # -- what changes
    def create_network_postcommit(self, context: Any) -> None:
        """A bridge is due."""
        self._touch(context.current["id"])

    def delete_network_postcommit(self, context: Any) -> None:
        """Bridge and dnsmasq go."""
        self._gone.add(context.current["id"])
        self._wake.set()

    def create_subnet_postcommit(self, context: Any) -> None:
        """Addresses and DHCP follow the subnets."""
        self._touch(context.current["network_id"])

    update_subnet_postcommit = create_subnet_postcommit
    delete_subnet_postcommit = create_subnet_postcommit

    def create_port_postcommit(self, context: Any) -> None:
        """DHCP must know the port before its guest asks."""
        self._touch(context.current["network_id"])

    delete_port_postcommit = create_port_postcommit

    def update_port_postcommit(self, context: Any) -> None:
        """Only what DHCP tells matters."""
        was, now = context.original or {}, context.current
        if (was.get("fixed_ips"), was.get("mac_address")) != (now["fixed_ips"], now["mac_address"]):
            self._touch(now["network_id"])

    def _touch(self, network: str) -> None:
        self._changed.add(network)
        self._wake.set()

    # -- the data plane
    def _work(self) -> None:
        pause = threading.Event()
        while True:
            woken = self._wake.wait(LOOK_SECONDS)
            if woken:
                pause.wait(SETTLE_SECONDS)
                self._wake.clear()
            else:
                self._changed |= {network for network, dhcp in self._dhcps.items() if not dhcp.pid()}
            while self._changed:
                self._attempt(self._sync, self._changed.pop())
            while self._gone:
                self._attempt(self._remove, self._gone.pop())

    def _attempt(self, act: Any, network: str) -> None:
        try:
            act(network)
        except subprocess.CalledProcessError as error:
            LOG.error("network %s: %s: %s", network, error, error.stderr)
        except (OSError, NetlinkError, subprocess.TimeoutExpired) as error:
            LOG.error("network %s: %s", network, error)

    def _sync(self, network: str) -> None:
        with self._lock:
            plugin, admin = directory.get_plugin(), context.get_admin_context()
            subnets = [s for s in plugin.get_subnets(admin, {"network_id": [network]}) if s["ip_version"] == 4]
            self._make_bridge(bridge_of(network), subnets)
            hosts = [
                Host(port["mac_address"], fixed["ip_address"])
                for port in plugin.get_ports(admin, {"network_id": [network]})
                for fixed in port["fixed_ips"]
                if ":" not in fixed["ip_address"]
            ]
            served = [
                Subnet(s["cidr"], s["gateway_ip"], tuple(s["dns_nameservers"]))
                for s in subnets
                if s["enable_dhcp"] and s["gateway_ip"]
            ]
            dhcp = self._dhcps.setdefault(network, Dhcp(self.folder, network, bridge_of(network)))
            dhcp.serve(tuple(sorted(served, key=lambda s: s.cidr)), frozenset(hosts))

    def _make_bridge(self, bridge: str, subnets: list[dict[str, Any]]) -> None:
        if not (NETWORKS / bridge).exists():
            run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        run("ip", "link", "set", bridge, "alias", cfg.CONF.labtap.mark, "up")
        for subnet in subnets:
            if subnet["gateway_ip"]:
                length = subnet["cidr"].partition("/")[2]
                run("ip", "addr", "replace", f"{subnet['gateway_ip']}/{length}", "dev", bridge)

    def _remove(self, network: str) -> None:
        with self._lock:
            dhcp = self._dhcps.pop(network, None) or Dhcp(self.folder, network, bridge_of(network))
            dhcp.stop()
            if (NETWORKS / bridge_of(network)).exists():
                run("ip", "link", "del", bridge_of(network))

    # -- taps
    def _watch(self) -> None:
        with IPRoute() as netlink:
            netlink.bind()  # first listen, then look: no tap is missed in between
            for entry in NETWORKS.iterdir():
                self._attempt(self._enslave, entry.name)
            while True:
                for message in netlink.get():
                    if message["event"] == "RTM_NEWLINK" and message.get_attr("IFLA_MASTER") is None:
                        self._attempt(self._enslave, message.get_attr("IFLA_IFNAME") or "")

    def _enslave(self, tap: str) -> None:
        if not tap.startswith("tap") or len(tap) != TAP_LENGTH:
            return
        admin = context.get_admin_context()
        with db_api.CONTEXT_READER.using(admin):
            query = admin.session.query(models_v2.Port.network_id)
            found = query.filter(models_v2.Port.id.like(tap[3:] + "%")).first()
        if found:
            run("ip", "link", "set", tap, "master", bridge_of(found[0]), "up")
            LOG.info("%s joined %s", tap, bridge_of(found[0]))


def run(*command: str) -> None:
    """Run a command of iproute2; CalledProcessError carries what it said."""
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
