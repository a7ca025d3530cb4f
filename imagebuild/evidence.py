"""What a failed machine can still tell, saved with its build before anything is deleted: serial console, screen, Windows' own logs."""

import re

from imagebuild.build_folder import BuildFolder
from imagebuild.errors import ImagebuildError
from imagebuild.step import Context
from imagebuild.waiting import Deadline

CONSOLE_LOG = "console.log"
SCREEN = "screen.png"
GUEST_LOGS = "guest-logs"
SCREEN_SECONDS = 15
GUEST_SECONDS = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")  # the guest gives the names: none may lead out of the folder


def save_evidence(context: Context, folder: BuildFolder) -> tuple[str, ...]:
    """Save what there is and give its names, for a person. What cannot be had is warned of and keeps nothing else from being saved."""
    server_id = context.facts.get("server_id")
    if server_id is None:
        return ()
    saved: list[str] = []
    for what, save in (
        ("the console log", _save_console),
        ("the picture of the screen", _save_screen),
        ("Windows' own logs", _save_guest_logs),
    ):
        try:
            saved += save(context, folder, server_id)
        except (ImagebuildError, OSError) as error:
            context.report.warn(f"{what} could not be saved: {error}")
    return tuple(saved)


def _save_console(context: Context, folder: BuildFolder, server_id: str) -> list[str]:
    log = context.cloud.console_log(server_id)
    if not log:  # Nova has none of a machine that is off
        return []
    folder.save(CONSOLE_LOG, log)
    return [CONSOLE_LOG]


def _save_screen(context: Context, folder: BuildFolder, server_id: str) -> list[str]:
    picture = context.cloud.console_picture(server_id, deadline=Deadline.after(SCREEN_SECONDS, context.clock))
    if picture is None:
        return []
    (folder.path / SCREEN).write_bytes(picture)
    return [SCREEN]


def _save_guest_logs(context: Context, folder: BuildFolder, server_id: str) -> list[str]:
    """Only of a Windows that was reached before and runs: nothing else could answer, and asking takes its time."""
    server = context.cloud.server(server_id)
    if "windows" not in context.facts or server is None or server.status != "ACTIVE":
        return []
    told = context.guest.run("Get-GuestLogs", deadline=Deadline.after(GUEST_SECONDS, context.clock))
    logs = {log["name"]: log["lines"] for log in told["logs"] if _NAME.fullmatch(log["name"])}
    if told["unreadable"]:
        logs["unreadable"] = [f"{log['path']}: {log['words']}" for log in told["unreadable"]]
    if not logs:
        return []
    (folder.path / GUEST_LOGS).mkdir(exist_ok=True)
    for name, lines in logs.items():
        folder.save(f"{GUEST_LOGS}/{name}.txt", "\n".join(lines) + "\n")
    return [f"{GUEST_LOGS}/ ({len(logs)})"]
