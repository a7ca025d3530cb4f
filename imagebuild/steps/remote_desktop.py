"""Turns Remote Desktop on for the users of the desktops."""

from imagebuild.recipe_header import Word
from imagebuild.step import Context, Minutes, Step


class RemoteDesktop(Step):
    """RDP with network level authentication, its firewall group, and who may log on."""

    name = "remote-desktop"
    title = "remote desktop settings"
    needs = frozenset({"windows"})
    gives = frozenset({"remote_desktop"})

    deadline_minutes: Minutes = 10
    nla: bool = True
    members: list[Word] = []

    def describe(self) -> str:
        """The switches."""
        return f"on, network level authentication {'on' if self.nla else 'OFF'}"

    def run(self, context: Context) -> None:
        """Set, and tell when a policy would overrule it."""
        parameters = {"enabled": True, "nla": self.nla, "members": self.members}
        done = context.guest.run("Set-RemoteDesktop", parameters, deadline=context.deadline(self.deadline_minutes))
        overruled = {name: value for name, value in done["policies"].items() if value is not None}
        if overruled:
            context.report.warn(f"a policy in this Windows wins over the settings: {overruled}")
        context.remember(remote_desktop={"nla": done["nla"], "firewall": done["firewall"]})
