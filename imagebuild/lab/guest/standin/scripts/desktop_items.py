"""The table of Set-Desktop: each item with why it is there and the settings that it makes."""

from __future__ import annotations

from typing import Any, NamedTuple

from imagebuild.lab.guest.standin.model.registry import CONTROL, CURRENT, SERVICES, WINDOWS_NT

POLICIES = "HKLM:\\SOFTWARE\\Policies\\Microsoft"
SCHEMES = CONTROL + "\\Power\\User\\PowerSchemes"
HIGH_PERFORMANCE = "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c"
TASKS = "\\Microsoft\\Windows\\"
BOOT_ENTRY = "HKLM:\\BCD00000000\\Objects\\{default}\\Elements"
TIME = SERVICES + "\\W32Time"
BACKGROUND_TASKS = (
    "Customer Experience Improvement Program\\Consolidator", "Customer Experience Improvement Program\\UsbCeip",
    "Application Experience\\Microsoft Compatibility Appraiser", "Application Experience\\ProgramDataUpdater", "Maps\\MapsToastTask",
    "Maps\\MapsUpdateTask", "Maintenance\\WinSAT", "Registry\\RegIdleBackup", "SystemRestore\\SR",
    "Windows Error Reporting\\QueueReporting", "PI\\Sqm-Tasks", "RecoveryEnvironment\\VerifyWinRE",
)  # fmt: skip
NEEDLESS_SERVICES = (
    "autotimesvc", "BcastDVRUserService", "DiagSvc", "DiagTrack", "DusmSvc", "icssvc", "lfsvc", "MapsBroker", "MessagingService", "RmSvc",
    "SEMgrSvc", "SmsRouter", "SysMain", "WerSvc", "XblAuthManager", "XblGameSave", "XboxGipSvc", "XboxNetApiSvc",
)  # fmt: skip


class Setting(NamedTuple):
    """One value: where it is and which values will do; the first is what is set."""

    id: str
    kind: str
    path: str
    name: str
    wanted: tuple[Any, ...]


class Item(NamedTuple):
    """Settings that belong together, and why they are made."""

    name: str
    why: str
    settings: tuple[Setting, ...]


def _value(path: str, name: str, *wanted: Any, shown: str = "") -> Setting:
    return Setting(shown or name, "registry", path, name, wanted)


def _service(name: str, start: int) -> Setting:
    return Setting(name, "service", f"{SERVICES}\\{name}", "Start", (start,))


def _task(path: str) -> Setting:
    return Setting(TASKS + path, "task", TASKS + path, "", (False,))


def _power(shown: str, group: str, value: int) -> Setting:
    return Setting(shown, "registry", f"{SCHEMES}\\active\\{group}", "ACSettingIndex", (value,))


def list_items(time_servers: list[str]) -> list[Item]:
    """All items; the time source only where servers are named."""
    items = [Item(name, why, settings) for name, why, settings in _TABLE]
    if time_servers:
        peers = " ".join(f"{server},0x8" for server in time_servers)
        settings = (_value(TIME + "\\Parameters", "NtpServer", peers), _value(TIME + "\\Parameters", "Type", "NTP"))
        items.append(Item("time_source", "time from the named servers until a domain takes over", settings))
    return items


_TABLE: tuple[tuple[str, str, tuple[Setting, ...]], ...] = (
    ("power_plan", "High performance: a virtual machine saves nothing by throttling itself",
     (_value(SCHEMES, "ActivePowerScheme", HIGH_PERFORMANCE),)),
    ("never_sleep", "a sleeping or dark clone looks dead to the broker",
     (_power("monitor_timeout", "monitor", 0), _power("standby_timeout", "standby", 0), _power("disk_timeout", "disk", 0))),
    ("power_button",
     "the ACPI button is how OpenStack stops a machine: it must shut down, also at the logon screen and with users logged on",
     (_power("power_button_action", "button", 3), _value(CURRENT + "\\Policies\\System", "shutdownwithoutlogon", 1),
      _value(WINDOWS_NT + "\\Windows", "ShutdownWarningDialogTimeout", 1))),
    ("no_hibernation", "hiberfil.sys swells the image, and fast startup resumes an old kernel instead of booting",
     (_value(CONTROL + "\\Power", "HibernateEnabled", 0, None),
      _value(CONTROL + "\\Session Manager\\Power", "HiberbootEnabled", 0))),
    ("time_service", "outside a domain W32Time starts only now and then; Kerberos refuses clocks five minutes apart",
     (_service("W32Time", 2), _value(TIME + "\\TriggerInfo\\0", "Type", 2, shown="trigger"))),
    ("no_automatic_updates", "clones get their updates with the next image, not each for itself; searching by program still works",
     (_value(POLICIES + "\\Windows\\WindowsUpdate\\AU", "NoAutoUpdate", 1),)),
    ("no_store_updates", "an app updated for one user only makes sysprep fail (0x80073CF2)",
     (_value(POLICIES + "\\WindowsStore", "AutoDownload", 2),
      _value(POLICIES + "\\Windows\\CloudContent", "DisableWindowsConsumerFeatures", 1))),
    ("no_vendor_updaters", "Edge, Chrome and Office would update each clone at each boot",
     (_value(POLICIES + "\\EdgeUpdate", "UpdateDefault", 0),
      _value("HKLM:\\SOFTWARE\\Policies\\Google\\Update", "UpdateDefault", 0),
      _value(POLICIES + "\\Office\\16.0\\Common\\OfficeUpdate", "EnableAutomaticUpdates", 0))),
    ("no_scheduled_defrag", "a hundred clones defragmenting at night rewrite the storage below them",
     (_task("Defrag\\ScheduledDefrag"),)),
    ("no_background_tasks", "telemetry, maps, self-assessment and registry copies cost each clone and serve none",
     tuple(_task(path) for path in BACKGROUND_TASKS)),
    ("no_needless_services", "in the lists of Microsoft (VDOT), Citrix and Omnissa alike; nothing that sysprep, the IME or updates need",
     tuple(_service(name, 4) for name in NEEDLESS_SERVICES)),
    ("no_system_restore", "a clone is restored by replacing it", (_value(POLICIES + "\\Windows NT\\SystemRestore", "DisableSR", 1),)),
    ("no_last_access_times", "reading a file should not write to the disk",
     (_value(CONTROL + "\\FileSystem", "NtfsDisableLastAccessUpdate", 1, -2147483647),)),
    ("small_crash_dumps", "a full dump is as large as the memory; reboot instead of waiting at a blue screen",
     (_value(CONTROL + "\\CrashControl", "CrashDumpEnabled", 3), _value(CONTROL + "\\CrashControl", "AutoReboot", 1))),
    ("no_boot_recovery", "after a hard stop a clone must boot, not wait in the recovery menu",
     (_value(BOOT_ENTRY + "\\250000e0", "Element", 1, shown="bootstatuspolicy"),
      _value(BOOT_ENTRY + "\\16000009", "Element", 0, shown="recoveryenabled"))),
    ("no_first_logon_animation", "saves each new user a minute",
     (_value(CURRENT + "\\Policies\\System", "EnableFirstLogonAnimation", 0),)),
)  # fmt: skip
