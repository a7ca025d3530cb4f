"""Is a desktop the machine that its pool takes it for: called as its server, a member of the pool's domain, and trusted there?"""

import re
from collections.abc import Mapping

REJOIN = (
    "each desktop joins its domain again under its old name: since KB5020276 that fails (error 0xaac) unless the joining account made the "
    "computer account, or a domain administrator did, or the policy allows its owner"
)
_LIKELY = "on a rejoin mostly KB5020276 (error 0xaac): its computer account is somebody else's"
_TRUST = {
    "broken": f"{{domain}} does not trust it: {_LIKELY}, or no domain controller answers",
    "restart": "it has joined {domain} and was not started anew since",
}


def domain_of(ou: str) -> str:
    """The domain that an organizational unit is in, `corp.example`; empty where its name has no DC."""
    return ".".join(re.findall(r"(?i)\bDC=([^,\s]+)", ou))


def what_keeps_it_out(member: Mapping[str, str], *, name: str, domain: str | None) -> str | None:
    """Why what a desktop says of itself (see console_words) is not that of this server; None when it is. Any of it may still come right.

    Names are those of NetBIOS and of the DNS: upper and lower case are the same. Without a `domain` only its name counts.
    """
    called = member.get("name", "")
    if called.casefold() != name.casefold():
        return f"Windows is called {called}, its server {name}"
    told = member.get("domain", "?")
    if domain is None:
        return None
    if told == "?":
        return "it has not said yet whose member it is"
    if told == "-":
        return f"it is no member of {domain}: {_LIKELY}"
    if told.casefold() != domain.casefold():
        return f"it is a member of {told}, not of {domain}"
    trust = member.get("trust", "broken")
    return None if trust == "ok" else _TRUST.get(trust, _TRUST["broken"]).format(domain=domain)
