"""Which Windows is played: the names and numbers that it gives of itself. It plays Windows 7 and says in words that it is none."""

from __future__ import annotations

from imagebuild.lab.guest.standin.model.registry import (
    CONTROL,
    CURRENT,
    SERVICES,
    SETUP_STATE,
    SYSPREP_STATUS,
    WINDOWS_NT,
    Registry,
)

NAME = "imagebuild stand-in for Windows 7, not Windows"
VERSION = "6.1.7601"
BUILD = 7601
POWERSHELL = "2.0"
ARCHITECTURE = "AMD64"
OS_FOLDER = "w7"
CULTURE = "ko-KR"
LANGUAGE = 1042
CODE_PAGE = "949"
REARMS = 3
BALANCED = "381b4222-f694-41f0-9685-ff5bb260df2e"
TERMINAL = CONTROL + "\\Terminal Server"
RESEALED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
COMPLETE = "IMAGE_STATE_COMPLETE"
UNDEPLOYABLE = "IMAGE_STATE_UNDEPLOYABLE"

_BASE = "31bf3856ad364e35~amd64"


def write_factory_registry(registry: Registry) -> None:
    """What the registry of a base image holds before its first boot: generalized, as an image that was prepared for a cloud."""
    for name, value in (
        ("ProductName", NAME),
        ("EditionID", "Enterprise"),
        ("InstallationType", "Client"),
        ("CurrentVersion", "6.1"),
        ("CurrentBuildNumber", str(BUILD)),
        ("BuildLabEx", "7601.0.stand-in"),
        ("CSDVersion", "Service Pack 1"),
    ):
        registry.set(WINDOWS_NT, name, value)
    registry.set(SETUP_STATE, "ImageState", RESEALED)
    registry.set(SYSPREP_STATUS, "GeneralizationState", 7)
    registry.set(SYSPREP_STATUS, "CleanupState", 2)
    registry.set(CONTROL + "\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", ARCHITECTURE)
    registry.set(CONTROL + "\\Nls\\CodePage", "ACP", CODE_PAGE)
    registry.set(CONTROL + "\\Nls\\CodePage", "OEMCP", CODE_PAGE)
    registry.set(CONTROL + "\\Nls\\Language", "Default", "0412")
    registry.set(CONTROL + "\\Nls\\Language", "InstallLanguage", "0412")
    registry.set(CONTROL + "\\TimeZoneInformation", "TimeZoneKeyName", "Korea Standard Time")
    registry.set(TERMINAL, "fDenyTSConnections", 1)
    registry.set(TERMINAL + "\\WinStations\\RDP-Tcp", "UserAuthentication", 0)
    registry.set(TERMINAL + "\\WinStations\\RDP-Tcp", "PortNumber", 3389)
    registry.set(CONTROL + "\\Power", "HibernateEnabled", 1)
    registry.set(CONTROL + "\\Power\\User\\PowerSchemes", "ActivePowerScheme", BALANCED)
    registry.set(SERVICES + "\\W32Time\\Parameters", "Type", "NTP")
    registry.set(SERVICES + "\\W32Time\\Parameters", "NtpServer", "time.windows.com,0x9")
    packages = CURRENT + "\\Component Based Servicing\\Packages"
    client_pack = f"Microsoft-Windows-Client-LanguagePack-Package~{_BASE}~{CULTURE}~6.1.7601.17514"
    registry.set(f"{packages}\\{client_pack}", "CurrentState", 112)
    registry.set(CURRENT + "\\Component Based Servicing\\Version", "6.1.7601.17514", "stand-in")
    registry.set("HKLM:\\SOFTWARE\\Microsoft\\NET Framework Setup\\NDP\\v3.5", "Install", 1)
