"""Makes Windows a well-behaved master: the named items of Set-Desktop, each applied, read back, safe to repeat."""

import re

from pydantic import Field

from imagebuild import windows
from imagebuild.errors import StepFailed
from imagebuild.recipe_header import Header, Word
from imagebuild.step import Context, Step

_NAME = re.compile(r"@\{ name = '(\w+)'")


class Desktop(Step):
    """Power plan, page file, self-updating programs and the like; `items: [all]` takes the whole table."""

    name = "desktop"
    title = "desktop settings"
    needs = frozenset({"windows"})
    gives = frozenset({"desktop"})

    items: list[Word] = Field(default=["all"], min_length=1)
    time_servers: list[Word] = []

    def describe(self) -> str:
        """Which items."""
        return ", ".join(self.items)

    def check(self, header: Header) -> tuple[str, ...]:
        """The names are those of the table that the script loads."""
        del header
        known = ["all", *_NAME.findall(windows.read_script("desktop").decode("ascii"))]
        return tuple(
            f"there is no item {item!r}; there are {', '.join(known)}" for item in self.items if item not in known
        )

    def run(self, context: Context) -> None:
        """Apply, and restart when an item wants it."""
        deadline = context.deadline(self.deadline_minutes)
        parameters = {"items": self.items, "time_servers": self.time_servers}
        done = context.guest.run_as_system(
            "Set-Desktop", parameters, job="desktop", deadline=deadline, on_step=context.on_step
        )
        if not done["complete"]:
            details = [f"{item['name']}: {'; '.join(item['words'])}" for item in done["items"] if not item["ok"]]
            raise StepFailed(
                f"settings did not take: {', '.join(done['failed'])}", details=details, hint="leave these items out"
            )
        if done["reboot_needed"]:
            context.guest.restart("desktop settings", deadline=deadline, on_step=context.on_step)
        context.remember(desktop=[item["name"] for item in done["items"]])
