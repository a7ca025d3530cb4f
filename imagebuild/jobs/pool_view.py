"""What a person sees of a roll while it works: on a terminal one picture, drawn anew every turn; elsewhere a line when numbers change."""

from collections.abc import Callable
from dataclasses import dataclass

from imagebuild.pool.lookout import View
from imagebuild.pool.picture import picture
from imagebuild.pool.roll import Roll
from imagebuild.pool.roll_status import summary
from imagebuild.pool.rules import free_desktops
from imagebuild.report import Report, Screen


def view_of(report: Report, screen: Screen | None) -> Callable[[Roll, View], None]:
    """Who is to be told after every turn."""
    return _Lines(report) if screen is None else _Picture(screen)


def heard(is_asked: Callable[[], bool], screen: Screen | None) -> Callable[[], bool]:
    """The same question; at its first yes, what Ctrl-C has printed below the picture stays, and the picture goes on below that."""
    told = False

    def ask() -> bool:
        nonlocal told
        answer = is_asked()
        if answer and not told and screen is not None:
            screen.leave()
        told = told or answer
        return answer

    return ask


@dataclass(frozen=True)
class _Picture:
    screen: Screen

    def __call__(self, work: Roll, view: View) -> None:
        lines = picture(
            work.log, work.fleet.desktops, rules=work.rules, now=view.now, rows=self.screen.rows, ending=work.ending
        )
        self.screen.draw(lines)


@dataclass
class _Lines:
    report: Report
    told: str = ""

    def __call__(self, work: Roll, view: View) -> None:
        line = summary(work.log)
        if line != self.told:
            self.told = line
            free, floor = free_desktops(work.fleet.desktops, work.log.flying), work.log.assignment.floor
            self.report.note(f"{view.now:%H:%M} {line}; {free} free (floor {floor})")
