"""The builder down by its own act, and up again: a disk is worth an image only when the Windows on it has ended by itself.

Stop-Builder says on the serial console how far it is. Nova has no console log of a machine that is off, so what was told is
remembered at once; the word that it is told under is new each time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from imagebuild.cloud import Cloud, Server
from imagebuild.errors import DeadlinePassed, GuestUnreachable, SessionLost, StepFailed
from imagebuild.guest import told_on_console
from imagebuild.step import Context
from imagebuild.waiting import Deadline, wait_for

_TRIES = 2
_ANSWER_SECONDS = 30  # meanwhile nobody reads the console
_STOPPING = frozenset({"stop", "reboot", "suspend", "pause", "shelve", "shelveOffload"})
_STOPPING |= {"rebuild", "rescue", "delete", "migrate", "evacuate"}


def go_down(context: Context, *, serial_port: str, shutdown_seconds: int, deadline: Deadline) -> None:
    """The builder off by its own act and nobody else's, its lease given back. Safe to repeat wherever it was cut off.

    One that is off, and nobody saw why, is started and asked again. Raises StepFailed when it goes off without a word twice.
    """
    for _ in range(_TRIES):
        if _look(context).status == "SHUTOFF" and not _is_proven(context):
            context.report.note("the builder is off, and nobody saw it go: it is started again")
            come_up(context, deadline)
        word = context.facts.get("down_asked", "")
        if _look(context).status != "SHUTOFF":
            if _told(context, word)[-1:] not in (["releasing"], ["shutdown"]):  # else it is on its way
                word = f"down-{uuid4().hex[:12]}"
                context.remember(down_asked=word)
                parameters = {"name": word, "serial_port": serial_port, "shutdown_seconds": shutdown_seconds}
                begun = partial(_is_on_its_way, context, word)
                begin_last_act(context, "Stop-Builder", parameters, job=word, begun=begun, deadline=deadline)
            context.disconnect()
            watch = partial(_watch, context, word)
            wait_for(watch, "the builder to shut itself down", deadline=deadline, every=1)
        if _is_proven(context):
            refuse_foreign_stops(context.cloud, context.facts["server_id"])
            return
    raise StepFailed(
        "the builder went off before it said so on its console", hint="a crash? is serial_port the console's?"
    )


def begin_last_act(
    context: Context,
    script: str,
    parameters: Mapping[str, Any],
    *,
    job: str,
    begun: Callable[[], bool],
    deadline: Deadline,
) -> bool:
    """Start a script as SYSTEM that ends with the machine off. True when the guest said so, False when only `begun` did.

    The machine's end may come before the answer (a busy host, a short act): then nobody answers any more, and it is the console
    and Nova that `begun` asks. The same job never runs twice in the guest, so it is asked again as long as nothing has begun.
    """

    def ask() -> bool | None:
        limit = deadline.within(_ANSWER_SECONDS)
        try:
            context.guest.start_as_system(script, parameters, job=job, deadline=limit)
        except (GuestUnreachable, SessionLost, DeadlinePassed):
            if begun():
                return False
            if deadline.passed():
                raise
            return None
        return True

    return wait_for(ask, f"the guest to start {script}", deadline=deadline, every=1)


def come_up(context: Context, deadline: Deadline) -> None:
    """The builder running and Windows ready, wherever it is now; it does nothing to one that is."""
    began = context.clock.now()

    def settled(*states: str) -> Server | None:
        server = _look(context)
        return server if server.task_state is None and server.status in states else None

    server = wait_for(
        partial(settled, "SHUTOFF", "ACTIVE"), "the cloud to let go of the builder", deadline=deadline, every=1
    )
    if server.status == "SHUTOFF":
        context.remember(down_asked="")  # what was told under that word is over
        context.cloud.start_server(server.id)
        server = wait_for(partial(settled, "ACTIVE"), "Nova to start the builder", deadline=deadline, every=1)
    if server.addresses[:1] != (context.facts["guest_address"],):
        context.remember(guest_address=server.addresses[0])
        context.disconnect()
    context.guest.wait_until_ready(deadline=deadline, on_step=context.on_step)
    context.report.note(f"the builder runs, ready after {context.clock.now() - began:.0f} s")


def refuse_foreign_stops(cloud: Cloud, server_id: str) -> None:
    """Raise StepFailed when somebody has stopped the server through Nova, or moved it.

    A guest that powers itself off makes Nova record a stop of its own, under no user (_sync_instance_power_state).
    """
    foreign = [act.name for act in cloud.actions(server_id) if act.name in _STOPPING and act.user_id]
    if foreign:
        raise StepFailed(
            f"somebody else acted on the builder ({', '.join(foreign)}): its disk is not to be trusted",
            hint="build again",
        )


def _look(context: Context) -> Server:
    server = context.cloud.server(context.facts["server_id"])
    if server is None or server.status == "ERROR":
        state = f"in ERROR: {server.fault}" if server else "gone: somebody deleted it"
        raise StepFailed(f"the builder is {state}", hint="build again")
    return server


def _told(context: Context, word: str) -> list[str]:
    """What Stop-Builder has said on the console under that word."""
    log = context.cloud.console_log(context.facts["server_id"])
    return [text.removeprefix(f"{word} ") for text in told_on_console(log) if word and text.startswith(f"{word} ")]


def _is_on_its_way(context: Context, word: str) -> bool:
    return _watch(context, word) is not None or bool(_told(context, word))


def _watch(context: Context, word: str) -> Server | None:
    """The builder once it is off. Its last word is remembered at once: Nova has no console log of a machine that is off."""
    server, told = _look(context), _told(context, word)
    if told and told[-1].startswith("failed"):
        raise StepFailed(f"the builder could not be shut down: {told[-1]}", hint="resume, or build again")
    if "shutdown" in told and not _is_proven(context):
        context.remember(down_told=word)
    return server if server.status == "SHUTOFF" and server.task_state is None else None


def _is_proven(context: Context) -> bool:
    word = context.facts.get("down_asked", "")
    return bool(word) and context.facts.get("down_told") == word
