"""remote-desktop: set, read back, and a policy that would overrule it is told."""

import pytest

from imagebuild.errors import ScriptFailed
from imagebuild.steps.remote_desktop import RemoteDesktop
from tests.steps.conftest import World, answer

ON = answer("Set-RemoteDesktop", "on, with NLA, members by SID and name; again")


def test_it_is_set_and_what_was_read_back_is_remembered(windows: World) -> None:
    windows.guest.returns("Set-RemoteDesktop", ON)
    for _ in range(2):
        RemoteDesktop(members=["CORP\\VDI Users"]).run(windows.context)
    sent = {"enabled": True, "nla": True, "members": ["CORP\\VDI Users"]}
    assert windows.guest.parameters_of("Set-RemoteDesktop") == [sent, sent]
    assert windows.remembered()["remote_desktop"] == {"nla": True, "firewall": "group"}
    assert windows.told.warnings == []


def test_a_policy_that_wins_is_told(windows: World) -> None:
    windows.guest.returns("Set-RemoteDesktop", answer("Set-RemoteDesktop", "a policy st"))
    RemoteDesktop(nla=False).run(windows.context)
    (warning,) = windows.told.warnings
    assert "fDenyTSConnections" in warning
    assert "UserAuthentication" not in warning


def test_a_domain_that_cannot_be_reached_is_the_scripts_own_failure(windows: World) -> None:
    windows.guest.breaks("Set-RemoteDesktop", "could not add to Remote Desktop Users")
    with pytest.raises(ScriptFailed, match="could not add"):
        RemoteDesktop().run(windows.context)
    assert "remote_desktop" not in windows.facts
