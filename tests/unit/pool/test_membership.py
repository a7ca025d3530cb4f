"""A desktop's name and domain as it tells them itself: what is waited for, what fails, and what is believed without."""

from collections.abc import Mapping

import pytest

from imagebuild.console_words import Told
from imagebuild.pool.health import MATCHES, NO_MEMBER, SILENT
from imagebuild.pool.marks import DOMAIN, OU
from imagebuild.pool.membership import domain_of, what_keeps_it_out
from imagebuild.pool.model import Phase, RollState
from imagebuild.pool.provision import desktop_request, find_parts
from imagebuild.properties import BUILD
from tests.unit.pool.pools import a_site, define
from tests.unit.pool.rolling import Site

CORP = "corp.example"
STAMP = {"recipe": "small", "build": "small-2"}


def member(name: str, domain: str = CORP, trust: str | None = "ok") -> dict[str, str]:
    """A desktop's line."""
    return {"name": name.upper(), "domain": domain} | ({"trust": trust} if trust else {})


def site_of(size: int = 3, *, domain: str | None = CORP, tells: bool = True) -> Site:
    """A pool whose desktops tell their stamp, and their membership unless they do not."""
    site = Site(size, retries=0)
    site.definition = site.definition.model_copy(update={"domain": domain})
    site.cloud.update_image(site.new.id, properties={BUILD: STAMP["build"]})
    for name in site.names:
        site.witness.stamps[site.server(name).id] = STAMP
        if tells:
            site.witness.members[site.server(name).id] = member(name)
    return site


def test_a_member_is_well() -> None:
    site = site_of()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert {one.stamp for one in roll.log.held.values()} == {MATCHES}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (member("desktop-1", "-", None), "it is no member of corp.example: on a rejoin mostly KB5020276 (error 0xaac)"),
        (member("desktop-1", "?", None), "it has not said yet whose member it is"),
        (member("desktop-1", "other.example"), "it is a member of other.example, not of corp.example"),
        (member("desktop-1", trust="broken"), "corp.example does not trust it: on a rejoin mostly KB5020276"),
        (member("desktop-1", trust="restart"), "it has joined corp.example and was not started anew since"),
        (member("win-7f3a"), "Windows is called WIN-7F3A, its server desktop-1"),
    ],
)
def test_one_that_is_not_what_it_should_be_fails_at_the_end_of_its_time(told: Mapping[str, str], words: str) -> None:
    site = site_of()
    site.witness.members[site.server("desktop-1").id] = told
    roll = site.start()
    began = site.clock.now()
    assert roll.run() is RollState.HALTED
    assert words in roll.log.reason
    assert site.clock.now() - began > site.definition.roll.boot_timeout.total_seconds()


def test_a_join_that_comes_late_is_waited_for() -> None:
    site = site_of()
    server = site.server("desktop-1").id
    site.witness.members[server] = member("desktop-1", "-", None)
    roll = site.start()
    seen: list[str] = []
    site.clock.at(600, lambda: seen.append(roll.log.held["desktop-1"].reason))
    site.clock.at(600, lambda: site.witness.members.update({server: member("desktop-1")}))
    assert roll.run() is RollState.COMPLETED
    assert seen[0].startswith("it is no member of corp.example")
    assert roll.log.held["desktop-1"].attempt == 1


def test_a_desktop_that_waits_for_its_join_costs_one_look_a_turn() -> None:
    site = site_of()
    site.witness.members[site.server("desktop-1").id] = member("desktop-1", "-", None)
    roll = site.start()
    while roll.log.held["desktop-1"].phase is not Phase.CHECKING:
        roll.turn()
        site.clock.sleep(15)
    told, looks = site.witness.told, 0

    def counted(server_id: str) -> Told:
        nonlocal looks
        looks += 1
        return told(server_id)

    site.witness.told = counted  # type: ignore[method-assign]
    for _ in range(20):
        roll.turn()
        site.clock.sleep(15)
    assert roll.log.held["desktop-1"].phase is Phase.CHECKING
    assert 10 < looks <= 20


def test_an_image_that_does_not_tell_is_believed_and_that_is_told() -> None:
    site = site_of(tells=False)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert {one.stamp for one in roll.log.held.values()} == {f"{MATCHES}; {NO_MEMBER}"}

    site = site_of(tells=False)
    site.witness.stamps.clear()
    roll = site.start()
    assert roll.run() is RollState.COMPLETED
    assert {one.stamp for one in roll.log.held.values()} == {f"{SILENT}; {NO_MEMBER}"}


def test_without_a_domain_only_the_name_counts() -> None:
    site = site_of(domain=None)
    for name in site.names:
        site.witness.members[site.server(name).id] = member(name, "-", None)
    roll = site.start()
    assert roll.run() is RollState.COMPLETED

    site.witness.members[site.server("desktop-1").id] = member("win-7f3a", "-", None)
    site.cloud.update_image(site.old.id, properties={BUILD: STAMP["build"]})
    roll = site.start(site.plan("small-v1", back=True), back=True)
    assert roll.run() is RollState.HALTED


def test_upper_and_lower_case_are_the_same() -> None:
    assert what_keeps_it_out(member("Desktop-1", "CORP.Example"), name="desktop-1", domain=CORP) is None
    assert what_keeps_it_out({"domain": CORP}, name="desktop-1", domain=CORP) is not None


def test_ou_and_domain_must_agree() -> None:
    assert domain_of("OU=Desktops,OU=Seoul, DC=corp,dc=example") == CORP
    assert domain_of("OU=Desktops") == ""
    assert define(ou="OU=Desktops,DC=Corp,DC=example", domain=CORP).domain_notes == {
        OU: "OU=Desktops,DC=Corp,DC=example",
        DOMAIN: CORP,
    }
    with pytest.raises(ValueError, match=r"is corp\.example, and `ou` is in other\.example"):
        define(ou="OU=Desktops,DC=other,DC=example", domain=CORP)
    with pytest.raises(ValueError, match="domain"):
        define(domain="corp..example")


def test_the_domain_is_noted_on_each_server_and_again_with_each_rebuild() -> None:
    site = a_site(1, domain=CORP)
    parts = find_parts(site.definition, site.cloud, version=site.to)
    assert desktop_request(site.definition, "desktop-9", parts).metadata[DOMAIN] == CORP
    rolled = site_of()
    assert DOMAIN not in rolled.server("desktop-1").metadata
    assert rolled.start().run() is RollState.COMPLETED
    assert {rolled.server(name).metadata[DOMAIN] for name in rolled.names} == {CORP}


@pytest.mark.parametrize("domain", [CORP, None])
def test_the_plan_says_how_a_rejoin_fails_and_what_shows_it(domain: str | None) -> None:
    site = a_site(2, domain=domain)
    (line,) = [line for line in site.plan().as_lines() if line.startswith("  domain")]
    assert "KB5020276" in line
    assert ("the canary must show that it is a member, and so must every other" in line) is (domain is not None)
    assert site.plan().as_json()["domain"] == domain
