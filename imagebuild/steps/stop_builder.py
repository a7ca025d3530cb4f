"""Switches the builder off through Nova: for images that are no master, because nothing in them was generalized."""

from imagebuild.cloud import Server
from imagebuild.errors import StepFailed
from imagebuild.step import Context, Minutes, Step
from imagebuild.waiting import wait_for_cloud


class StopBuilder(Step):
    """Gives `off` without `sealed`: a master is sealed by `generalize`, which ends the machine itself, and nothing promotes another."""

    name = "stop-builder"
    title = "stop the builder"
    needs = frozenset({"server_id"})
    gives = frozenset({"off"})

    deadline_minutes: Minutes = 15

    def describe(self) -> str:
        """How."""
        return "orderly stop through Nova, wait for SHUTOFF; nothing is generalized"

    def run(self, context: Context) -> None:
        """Nova asks the guest by ACPI and pulls the plug only after its own time-out (60 s by default)."""
        server_id, deadline = context.facts["server_id"], context.deadline(self.deadline_minutes)
        context.cloud.stop_server(server_id)
        wait_for_cloud(lambda: _off(context, server_id), "Nova to stop the builder", deadline=deadline)
        context.remember(off="stopped through Nova")


def _off(context: Context, server_id: str) -> Server | None:
    server = context.cloud.server(server_id)
    if server is None:
        raise StepFailed("the builder is gone: somebody deleted it", hint="run the build again")
    if server.status == "ERROR":
        raise StepFailed(
            f"Nova could not stop the builder: {server.fault or 'no reason given'}", hint="ask who runs the cloud"
        )
    return server if server.status == "SHUTOFF" and server.task_state is None else None
