"""The task scheduler: tasks that run as SYSTEM beside the session that made them, outlive it, and die with the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from imagebuild.lab.guest.standin.model.clock import Clock, Killed, Pause
from imagebuild.lab.guest.standin.model.store import Store

ABSENT, READY, RUNNING = 0, 3, 4
FIRST_PROCESS_ID = 1000


class Process(NamedTuple):
    """One process of a running task; children follow their parents in the list."""

    id: int
    name: str


class _Execution:
    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self.stopped = False
        self.ended = False


class Tasks:
    """Definitions are kept on the disk, executions only in memory."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._definitions = store.section("tasks")
        self._clock = clock
        self._executions: dict[str, _Execution] = {}
        self._next_id = FIRST_PROCESS_ID
        self.on_run: Callable[[], None] = lambda: None

    def names(self) -> list[str]:
        """Names of all tasks."""
        return sorted(self._definitions)

    def register(self, name: str, arguments: str, *, at_start: bool = False) -> None:
        """Make a task, or make it anew. It does not run by that; `at_start`: its arguments are a line for every start of Windows."""
        with self._store.change():
            self._definitions[name] = {"arguments": arguments, "at_start": at_start}

    def line_of(self, name: str) -> str | None:
        """The command line of a task that runs at every start."""
        found = self._definitions.get(name, {})
        return str(found["arguments"]) if found.get("at_start") else None

    def lines_at_start(self) -> list[str]:
        """What runs when Windows has started."""
        return [line for name in self.names() if (line := self.line_of(name)) is not None]

    def delete(self, name: str) -> bool:
        """Whether there was one. What runs in it goes on."""
        with self._store.change():
            return self._definitions.pop(name, None) is not None

    def state(self, name: str) -> int:
        """ABSENT, READY or RUNNING."""
        execution = self._executions.get(name)
        if name not in self._definitions:
            return ABSENT
        return RUNNING if execution is not None and not (execution.ended or execution.stopped) else READY

    def run(self, name: str, programs: tuple[str, ...], work: Callable[[Pause], object]) -> None:
        """Start the task's program with the children that it will have; a second start while it runs is ignored."""
        if self.state(name) == RUNNING:
            return
        execution = _Execution([self._new_process(program) for program in programs])
        self._executions[name] = execution
        self.on_run()

        def execute() -> None:
            pause = Pause(self._clock, lambda: execution.stopped)
            try:
                pause.check()
                work(pause)
            except Killed:
                pass
            finally:
                execution.ended = True

        self._clock.spawn(f"task {name}", execute)

    def processes(self, name: str) -> list[Process]:
        """Those that run now, parents first."""
        return list(self._executions[name].processes) if self.state(name) == RUNNING else []

    def kill(self, name: str) -> None:
        """End the task's processes, all of them."""
        execution = self._executions.get(name)
        if execution is not None:
            execution.stopped = True

    def _new_process(self, program: str) -> Process:
        self._next_id += 4
        return Process(self._next_id, program)
