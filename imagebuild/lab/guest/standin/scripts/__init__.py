"""How each guest script is played. A module is imported when a script of it is first run: imports cost the guest much."""

from __future__ import annotations

from importlib import import_module

from imagebuild.lab.guest.standin.scripts.contract import SCRIPTS, Script

MODULES = {
    "readiness": ("Get-Ready", "Restart-Guest", "Get-PendingReboot"),
    "workplace": ("Initialize-Workplace",),
    "jobs": ("Start-SystemJob", "Get-SystemJob", "Stop-SystemJob", "Invoke-SystemJob"),
    "virtio": ("Install-VirtioDrivers", "Get-DriverState"),
    "update_rounds": ("Find-Updates", "Install-Updates"),
    "update_source": ("Set-UpdateSource", "Reset-UpdateSource"),
    "update_records": ("Get-UpdateHistory", "Test-UpdatePrerequisites"),
    "packages": ("Install-Package", "Clear-UpdateLeftovers"),
    "installers": ("Install-Program",),
    "broker_agent": ("Set-BrokerAgent", "Get-BrokerAgent"),
    "remote_desktop": ("Set-RemoteDesktop",),
    "desktop": ("Set-Desktop",),
    "inventory": ("Get-Inventory",),
    "cloudbase_init": ("Install-CloudbaseInit",),
    "image": ("Set-ImageStamp", "Get-CloneState"),
    "checks": ("Test-Generalize", "Test-DomainState"),
    "generalize": ("Start-Generalize",),
    "leaving": ("Stop-Builder",),
    "generalize_outcome": ("Get-GeneralizeOutcome",),
    "traces": ("Clear-Traces", "Get-Traces"),
    "store_apps": ("Repair-Appx",),
    "downloads": ("Save-Download",),
    "guest_logs": ("Get-GuestLogs",),
}
PLACES = {script: module for module, scripts in MODULES.items() for script in scripts}


def find_script(name: str) -> Script | None:
    """The play of a script, or None for one that the stand-in does not know."""
    place = PLACES.get(name)
    if place is None:
        return None
    import_module(f".{place}", __name__)
    return SCRIPTS[name]
