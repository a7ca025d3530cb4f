"""Installs updates in rounds, with restarts, until two searches in a row find nothing more to do."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from imagebuild.complaints import Whole, written
from imagebuild.errors import StepFailed
from imagebuild.patch_days import last_patch_tuesday, period
from imagebuild.recipe_header import Header, Word
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import Deadline, pause

# update-codes.ps1: what a failed round may ask for and get. Right after a restart the network may still be on its way.
_AGAIN = frozenset({"retry", "server", "reboot_first", "none", "skip", "no_network"})
_TROUBLE = 4  # rounds that fail in a row: what time or a restart mends is mended by then
_ROUNDS = "update_rounds"
_GIVE_UP_AFTER = 2  # failures of one update: a second try often succeeds after a restart, a third never did


class Updates(Step):
    """Windows Update over its own agent, as SYSTEM: a network logon is refused with 0x80070005.

    `refresh` says when there may be something new, which no one outside a Windows can ask: after Microsoft's monthly day
    (patch-tuesday), every N days (days-7), or only when the recipe changes (never). It decides when `--if-changed` builds and
    until when a checkpoint after this step holds. A WSUS offers what its operator approves, whenever that is: give days-N a
    rhythm like the approvals', or run `invoke build RECIPE --fresh` after an approval.
    """

    name = "updates"
    title = "install updates"
    needs = frozenset({"windows"})
    gives = frozenset({"updates"})
    incidental = frozenset({"refresh"})  # `outside` says what comes of it

    deadline_minutes: Minutes = 480
    source: Literal["default", "microsoft", "wsus"] = "default"
    refresh: Annotated[
        str, written(r"patch-tuesday|never|days-[1-9][0-9]{0,2}", "must be patch-tuesday, never, or days-N: days-7")
    ] = "patch-tuesday"
    server: Word | None = Field(default=None, description="the WSUS, for source: wsus")
    proxy: str = ""
    categories: list[Word] = Field(default_factory=list, description="classification names or GUIDs; default: all")
    include_kb: list[Word] = []
    exclude_kb: list[Word] = []
    exclude_title_regex: list[Word] = []
    drivers: bool = False
    previews: bool = False
    optional: bool = False
    max_rounds: Whole = Field(default=12, ge=2, le=50, description="the last two find nothing")
    failed: Literal["report", "stop"] = Field(
        default="report", description="an update that fails twice: told, or the end"
    )

    def describe(self) -> str:
        """Where from."""
        return f"from {self.server or self.source}, at most {self.max_rounds} rounds"

    def outside(self, at: datetime) -> str:
        """The day of the newest updates, as far as `refresh` tells."""
        if self.refresh == "never":
            return ""
        if self.refresh == "patch-tuesday":
            return f"updates of {last_patch_tuesday(at)}"
        return f"updates of {period(at, days=int(self.refresh.removeprefix('days-')))}"

    def check(self, header: Header) -> tuple[str, ...]:
        """A WSUS has an address, and nobody else has one: found here and not after an hour, in the guest."""
        del header
        if (self.source == "wsus") != (self.server is not None):
            return (
                f"source is {self.source} and server is {self.server or 'not given'}: a server belongs to source: wsus",
            )
        return ()

    def run(self, context: Context) -> None:
        """Quiet the machine's own updating, go round by round, give the machine back as it was."""
        deadline = context.deadline(self.deadline_minutes)
        place: dict[str, Any] = {"source": self.source, "proxy": self.proxy, "drivers": self.drivers}
        if self.server:
            place["server"] = self.server
        context.guest.run("Set-UpdateSource", place, deadline=deadline)
        rounds, told = self._take_up(context)
        for number in range(rounds.number + 1, self.max_rounds + 1):
            parameters = {**self._selection(), "skip": rounds.given_up()}
            done = context.guest.run_as_system(
                "Install-Updates", parameters, job=f"updates-{number}", deadline=deadline, on_step=context.on_step
            )
            rounds.add(done)
            if rounds.quiet >= 2:
                break
            self._between(done, rounds, context=context, deadline=deadline)
            told.append(_essence(done))
            context.remember(**{_ROUNDS: {"attempt": context.attempt, "rounds": told}})
        else:
            raise StepFailed(
                f"updates were still found after {self.max_rounds} rounds",
                hint="raise max_rounds, or exclude what returns",
            )
        context.guest.run("Reset-UpdateSource", deadline=deadline)
        self._conclude(rounds, context)

    def _take_up(self, context: Context) -> tuple["_Rounds", list[dict[str, Any]]]:
        """The rounds that this attempt had behind it when it was cut off: Windows is not asked for them again."""
        before = context.facts.get(_ROUNDS, {})
        told = list(before["rounds"]) if before.get("attempt") == context.attempt else []
        rounds = _Rounds()
        for done in told:
            rounds.add(done)
        return rounds, told

    def _selection(self) -> dict[str, Any]:
        names = {"categories", "include_kb", "exclude_kb", "exclude_title_regex", "drivers", "previews", "optional"}
        return {name: value for name, value in self.model_dump(include=names).items() if value}

    def _between(self, done: dict[str, Any], rounds: "_Rounds", *, context: Context, deadline: Deadline) -> None:
        """What a round asks for before the next one."""
        failure = done["failure"]
        if failure and (failure["action"] not in _AGAIN or rounds.troubled >= _TROUBLE):
            words = f"Windows Update cannot work: {failure['words']} ({failure['hresult']}, in {failure['phase']})"
            raise StepFailed(words, hint=f"advice of the code table: {failure['action']}", details=done["warnings"])
        if done["reboot_required"] or done["installed_count"] or (failure and failure["action"] == "reboot_first"):
            restarted = context.guest.restart("updates", deadline=deadline, on_step=context.on_step)
            context.report.note(
                f"{done['installed_count']} installed; restarted, ready after {restarted.seconds:.0f} s"
            )
        elif failure:
            pause(30, deadline=deadline)

    def _conclude(self, rounds: "_Rounds", context: Context) -> None:
        failed = sorted(f"KB{'/'.join(kb)} {title}: {words}" for kb, title, words in rounds.failures())
        if failed and self.failed == "stop":
            raise StepFailed(
                "updates failed twice", details=failed, hint="exclude_kb leaves them out; failed: report goes on"
            )
        for line in failed:
            context.report.warn(f"not installed: {line}")
        context.report.note(
            f"{len(rounds.installed)} updates installed in {rounds.number} rounds, {len(failed)} left out"
        )
        context.remember(
            updates={"installed": sorted(rounds.installed.values()), "failed": failed, "rounds": rounds.number}
        )


def _essence(done: dict[str, Any]) -> dict[str, Any]:
    """What `_Rounds` needs of a round's answer."""
    names = ("id", "kb", "title", "result", "words", "hresult")
    updates = [{name: update[name] for name in names} for update in done["updates"]]
    return {"updates": updates, "failure": bool(done["failure"]), "reboot_required": done["reboot_required"]}


class _Rounds:
    """What the rounds have brought so far: who is in, who failed how often, how many in a row had nothing, or trouble."""

    def __init__(self) -> None:
        self.number = 0
        self.quiet = 0
        self.troubled = 0
        self.installed: dict[str, str] = {}
        self._failed: Counter[str] = Counter()
        self._last: dict[str, tuple[list[str], str, str]] = {}

    def add(self, done: dict[str, Any]) -> None:
        """Take a round's result. Raises StepFailed when what was installed with success is offered again."""
        self.number += 1
        for update in done["updates"]:
            title = f"KB{'/'.join(update['kb'])} {update['title']}"
            if str(update["result"]).startswith("succeeded"):
                if update["id"] in self.installed:
                    raise StepFailed(
                        f"{title} was installed with success and is offered again", hint="exclude_kb ends the circle"
                    )
                self.installed[update["id"]] = title
            elif update["result"] in ("failed", "aborted"):
                self._failed[update["id"]] += 1
                self._last[update["id"]] = (update["kb"], update["title"], f"{update['words']} ({update['hresult']})")
        self.troubled = self.troubled + 1 if done["failure"] else 0
        idle = not done["updates"] and not done["failure"] and not done["reboot_required"]
        self.quiet = self.quiet + 1 if idle else 0

    def given_up(self) -> list[str]:
        """Ids that failed too often: left out from now on."""
        return sorted(update for update, times in self._failed.items() if times >= _GIVE_UP_AFTER)

    def failures(self) -> list[tuple[list[str], str, str]]:
        """KB numbers, title and words of those that never came in."""
        return [last for update, last in self._last.items() if update not in self.installed]
