"""What our own scripts set, told by the inventory of the played Windows: as it is there now, whoever set it and whenever."""

from __future__ import annotations

from typing import Any

import pytest
from example_arrangements import YOUNGER_SECTIONS
from model_fakes import Bench
from test_examples import examples

from imagebuild.image_contents import read_contents
from imagebuild.lab.guest.standin.model.edition import TERMINAL
from imagebuild.lab.guest.standin.scripts.desktop_items import list_items

AGENT = "HKLM:\\SOFTWARE\\Vendor\\Agent"
POLICY = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services"


def settings(bench: Bench) -> dict[str, str]:
    """The lines of an image's record, without those of Windows itself."""
    found = bench.value("Get-Inventory", sections=["os", *sorted(YOUNGER_SECTIONS)])
    assert found["problems"] == {}
    lines = read_contents(found)["settings"]
    return {name: value for name, value in lines.items() if not name.startswith("windows ")}


def configure_agent(bench: Bench, address: str, **more: Any) -> None:
    bench.guest.services.add("Agent", start_mode="Auto", path="x")
    values = {"Broker": "{address}", "Port": "{port}", "Url": "https://{address}:{port}/", "Login": "pass{address}"}
    told = [{"path": AGENT, "name": name, "value": value} for name, value in values.items()]
    bench.value("Set-BrokerAgent", service="Agent", address=address, port=8089, settings=told, **more)


def test_a_fresh_windows_tells_all_of_it(builder: Bench) -> None:
    found = settings(builder)
    items = {name: value for name, value in found.items() if name.startswith("desktop ")}
    assert items == {f"desktop {item.name}": "off" for item in list_items([])}
    assert found == items | {
        "remote desktop": "off",
        "remote desktop members": "none",
        "remote desktop nla": "off",
        "time servers": "time.windows.com",
    }


def test_items_are_on_when_they_hold(builder: Bench) -> None:
    before = settings(builder)
    builder.value("Set-Desktop", items=["power_plan", "no_scheduled_defrag", "no_needless_services"])
    found = settings(builder)
    changed = {name for name in found if found[name] != before[name]}
    assert changed == {"desktop power_plan", "desktop no_scheduled_defrag", "desktop no_needless_services"}
    builder.guest.services.set_start_mode("WerSvc", "Manual")
    assert settings(builder)["desktop no_needless_services"] == "off", "somebody turned one of them back"
    (item,) = (
        one
        for one in builder.value("Get-Inventory", sections=["desktop"])["desktop"]
        if one["name"] == "no_needless_services"
    )
    assert item["lacking"] == ["WerSvc"]


def test_remote_desktop_is_told_as_it_works(builder: Bench) -> None:
    builder.guest.identity.set_password("kim", "x")
    builder.value("Set-RemoteDesktop", nla=True, members=["kim"])
    found = settings(builder)
    topic = {name: value for name, value in found.items() if name.startswith("remote desktop")}
    assert topic == {"remote desktop": "on", "remote desktop members": "kim", "remote desktop nla": "on"}
    builder.guest.registry.set(TERMINAL + "\\WinStations\\RDP-Tcp", "UserAuthentication", 0)
    assert settings(builder)["remote desktop nla"] == "off"
    builder.guest.registry.set(POLICY, "UserAuthentication", 1)
    assert settings(builder)["remote desktop nla"] == "on", "a policy wins"


def test_time_servers_are_the_real_ones(builder: Bench) -> None:
    builder.value("Set-Desktop", items=["time_source"], time_servers=["ntp1.example", "10.0.0.2"])
    assert settings(builder)["time servers"] == "ntp1.example, 10.0.0.2"


@pytest.mark.parametrize("goal", ["running", "sealed"])
def test_the_broker_is_told_by_what_stands_in_the_agents_settings(builder: Bench, goal: str) -> None:
    configure_agent(builder, "10.0.0.9", goal=goal)
    assert settings(builder)["broker Agent"] == "Broker 10.0.0.9, Port 8089, Url https://10.0.0.9:8089/"
    builder.guest.registry.set(AGENT, "Broker", "other.example")
    builder.guest.registry.remove_value(AGENT, "Url")
    assert settings(builder)["broker Agent"] == "Broker other.example, Port 8089"


def test_values_that_are_more_than_the_brokers_address_are_not_told(builder: Bench) -> None:
    configure_agent(builder, "10.0.0.9")
    assert builder.guest.registry.get(AGENT, "Login") == "pass10.0.0.9"
    assert "pass10.0.0.9" not in str(builder.value("Get-Inventory"))


def test_the_played_table_is_the_real_one(builder: Bench) -> None:
    (real,) = (one for one in examples() if one["script"] == "Set-Desktop" and "describe" in one["parameters"])
    assert builder.value("Set-Desktop", **real["parameters"]) == real["result"]["value"]
