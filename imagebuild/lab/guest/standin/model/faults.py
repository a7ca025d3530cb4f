"""What can be broken from outside: the words of the server's metadata key `standin-faults`, each with what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "standin-faults"
LISTENERS_KEY = "standin-listeners"

FAULTS = {
    "open-http": "the base image answers on HTTP 5985 with Basic and without encryption, as Packer and Ansible want it",
    "winrm-dies": "the WinRM service ends for good when the first job runs as SYSTEM",
    "winrm-refuses": "every password is refused (HTTP 401)",
    "wrong-certificate-on-console": "the fingerprint on the serial console is not that of the certificate",
    "no-certificate-on-console": "the listener is made, but nothing of it is said on the serial console",
    "early-winrm-long-configuring": "after a reboot for updates WinRM answers while they are configured for two minutes",
    "drivers-only-staged": "no device counts as present while drivers are added, so that none becomes boot-ready",
    "update-fails-always": "one update fails at every attempt",
    "update-hangs": "the installation of the first update never ends",
    "reboot-never-returns": "an ordered restart stops Windows, and nothing ever answers again",
    "agent-exit-1603": "every installer ends with 1603",
    "agent-busy-1618": "the Windows Installer is busy (1618) at the first attempt",
    "agent-needs-reboot-3010": "every installer that succeeds ends with 3010 and leaves a reboot pending",
    "service-dies": "the service of an installed program stops right after it was started",
    "sysprep-fails": "sysprep fails with the log lines of a Store package that is not provisioned",
    "sysprep-hangs": "sysprep never ends",
    "rdp-deaf": "Remote Desktop is switched on, and nobody answers on its port",
    "sid-kept": "generalizing keeps the machine SID",
    "no-dhcp-release": "the DHCP lease is neither released nor forgotten, although the script says that it was",
    "never-shuts-down": "after a generalize that succeeded the machine does not shut down",
    "domain-join-refused": "nobody joins the machine to the domain that its metadata name: the account of its name is somebody else's",
    "domain-joins-late": "it is joined only when it has run for a while, and is restarted for it",
    "domain-trust-broken": "it is a member of its domain, and no controller trusts it",
    "shutdown-without-seal": "the machine is switched off in the middle of sysprep, as by an operator's hand",
}


class Faults:
    """The faults that are switched on for this server; unknown words are told once and do nothing."""

    def __init__(self) -> None:
        self._words: frozenset[str] = frozenset()
        self.listeners: frozenset[str] = frozenset()

    def read(self, metadata: Mapping[str, Any]) -> list[str]:
        """Take the words from meta_data.json; gives back those that nobody knows."""
        meta = metadata.get("meta") or {}
        words = _words_of(meta.get(KEY))
        self._words = frozenset(words) & FAULTS.keys()
        self.listeners = frozenset(_words_of(meta.get(LISTENERS_KEY))) & {"http", "https"}
        return sorted(set(words) - FAULTS.keys())

    def __contains__(self, word: str) -> bool:
        """Whether a fault is switched on; KeyError for a word that no fault has."""
        if word not in FAULTS:
            raise KeyError(f"no fault is called {word}")
        return word in self._words


def _words_of(text: object) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()] if isinstance(text, str) else []
