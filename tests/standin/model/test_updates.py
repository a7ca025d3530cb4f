"""Updates: rounds, reboots, the one that fails at first, the refusal of a network logon, the time after a reboot."""

from __future__ import annotations

import pytest
from model_fakes import Bench


def results(report: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return {str(one["kb"][0]): one["result"] for one in report["updates"]}  # type: ignore[index]


def test_a_network_logon_is_refused_as_windows_does(builder: Bench) -> None:
    report = builder.value("Install-Updates")
    assert report["failure"]["hresult"] == "0x80070005"
    assert (report["failure"]["phase"], report["failure"]["action"]) == ("start", "need_system")
    assert report["updates"] == [] and report["installed_count"] == 0
    assert builder.value("Find-Updates")["failure"] is None, "only installing is refused"


def test_rounds_until_clean(builder: Bench) -> None:
    first = builder.job_value("Install-Updates")
    assert results(first) == {"4490628": "succeeded", "3138612": "failed", "4532938": "succeeded"}
    assert first["updates"][0]["kb"] == ["4490628"], "the servicing stack goes first"
    assert [one["reason"] for one in first["left_out"]] == ["preview"]
    assert not first["reboot_required"]

    second = builder.job_value("Install-Updates")
    assert results(second) == {"4474419": "succeeded", "3138612": "succeeded"}
    assert second["reboot_required"]
    assert [one["hresult"] for one in second["updates"] if one["kb"] == ["4474419"]] == ["0x00240005"]

    blocked = builder.job_value("Install-Updates")
    assert blocked["failure"]["action"] == "reboot_first"

    builder.restart()
    third = builder.job_value("Install-Updates")
    assert results(third) == {"4534310": "succeeded"}
    builder.restart()
    assert results(builder.job_value("Install-Updates")) == {"4539602": "succeeded"}
    assert results(builder.job_value("Install-Updates")) == {}
    history = builder.job_value("Get-UpdateHistory")
    assert (history["installed_count"], history["failed_count"]) == (6, 1)
    assert history["entries"][0]["kb"] == "4539602"
    assert {
        one["kb"]: one["servicing_state"] for one in builder.value("Get-Inventory", sections=["updates"])["updates"]
    }["KB4534310"] == 112


def test_without_the_reboot_nothing_more_is_offered(builder: Bench) -> None:
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    found = builder.job_value("Find-Updates")
    assert [one["kb"] for one in found["updates"] if one["selected"]] == []


def test_pending_reboot_says_what_windows_knows(builder: Bench) -> None:
    assert builder.value("Get-PendingReboot")["not_asked"][0]["error"]["hresult"] == "0x80070005"
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    answer = builder.value("Get-PendingReboot")
    assert answer["reboot_needed"]
    assert {one["word"] for one in answer["reasons"]} == {"windows_update", "servicing"}
    assert {one["word"] for one in builder.job_value("Get-PendingReboot")["reasons"]} == {
        "windows_update",
        "servicing",
        "update_agent",
    }


def test_winrm_answers_while_updates_are_configured(builder: Bench) -> None:
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    builder.value("Restart-Guest", reason="updates")
    builder.clock.run("shutdown")
    builder.boot(finish=False)
    assert builder.windows.listeners() == {"https"}
    ready = builder.value("Get-Ready")
    assert ready["busy"] == ["component servicing is finishing a reboot"]
    assert ready["logon_screen_shown"] is False
    assert builder.value("Get-PendingReboot")["wait"] is True
    builder.clock.run()
    ready = builder.value("Get-Ready")
    assert (ready["busy"], ready["logon_screen_shown"]) == ([], True)
    assert builder.value("Get-PendingReboot")["reasons"] == []


@pytest.mark.parametrize(
    ("parameters", "taken"),
    [
        ({"exclude_kb": ["KB4490628"]}, {"3138612", "4532938"}),
        ({"include_kb": ["3138612"]}, {"3138612"}),
        ({"include_kb": ["4539601"]}, {"4539601"}),
        ({"skip": ["57A4D000-0000-4000-8000-000004490628"]}, {"3138612", "4532938"}),
        ({"exclude_title_regex": ["servicing stack"]}, {"3138612", "4532938"}),
        ({"categories": ["Security Updates"]}, {"4490628", "4532938"}),
        ({"max_updates": 1}, {"4490628"}),
    ],
)
def test_the_selection_is_that_of_the_script(builder: Bench, parameters: dict[str, object], taken: set[str]) -> None:
    found = builder.job_value("Find-Updates", **parameters)
    assert {one["kb"][0] for one in found["updates"] if one["selected"]} == taken
    assert all((one["reason"] is None) == one["selected"] for one in found["updates"])


def test_a_preview_is_taken_when_asked_for(builder: Bench) -> None:
    found = builder.job_value("Find-Updates", previews=True, optional=True)
    assert {one["kb"][0] for one in found["updates"] if one["selected"]} >= {"4539601"}


def test_leftovers_are_cleared_and_what_was_stopped_runs_again(builder: Bench) -> None:
    builder.job_value("Install-Updates")
    report = builder.value("Clear-UpdateLeftovers")
    assert report["freed_bytes"] > 0
    assert report["services_stopped"] == ["wuauserv"]
    assert report["component_store"]["done"]
    assert builder.guest.services.find("wuauserv").running
    assert builder.value("Clear-UpdateLeftovers")["freed_bytes"] == 0


def test_the_component_store_waits_for_the_reboot(builder: Bench) -> None:
    builder.job_value("Install-Updates")
    builder.job_value("Install-Updates")
    report = builder.value("Clear-UpdateLeftovers")
    assert report["component_store"]["hresult"] == "0x800F0806"
    assert report["warnings"]


def test_the_update_source_is_lent_and_given_back(builder: Bench) -> None:
    first = builder.value("Set-UpdateSource", source="wsus", server="http://wsus.example:8530", target_group="gold")
    assert "WUServer = http://wsus.example:8530" in first["changed"]
    assert (
        builder.value("Set-UpdateSource", source="wsus", server="http://wsus.example:8530", target_group="gold")[
            "changed"
        ]
        == []
    )
    restored = builder.value("Reset-UpdateSource")
    assert restored["restored"] and "WUServer" in restored["restored_values"]
    assert not builder.guest.registry.has_key("HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate")
    assert builder.value("Reset-UpdateSource")["restored"] is False
