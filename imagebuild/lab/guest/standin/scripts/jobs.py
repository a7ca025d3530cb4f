"""Start-, Get-, Stop- and Invoke-SystemJob: guest scripts as SYSTEM in a task, with the run folder that proves how far they came."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from imagebuild.lab.guest.standin.model.clock import Killed, Pause
from imagebuild.lab.guest.standin.model.guest import SCRIPTS, WORKPLACE, Guest
from imagebuild.lab.guest.standin.model.power import BootMark
from imagebuild.lab.guest.standin.model.tasks import READY, RUNNING
from imagebuild.lab.guest.standin.scripts.contract import SYSTEM, Run, ScriptError, ascii_json, plays
from imagebuild.lab.guest.standin.scripts.execution import run_script_file

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
SCRIPT_NAME = re.compile(r"[A-Za-z]+-[A-Za-z0-9]+\Z")
REMOVE_SECONDS = 15
PROGRAMS = ("powershell.exe", "cmd.exe", "powershell.exe")


def run_folder(job_id: str) -> str:
    """The folder of a run; ScriptError for an id that would need quoting."""
    if not JOB_ID.match(job_id):
        words = "1 to 64 characters of A-Z a-z 0-9 _ -, the first a letter or a digit"
        raise ScriptError(f"job id '{job_id}' is refused: {words}")
    return f"{WORKPLACE}\\runs\\{job_id}"


@plays("Start-SystemJob", "id", "script", "parameters", "timeout_seconds", "detached")
def start_system_job(run: Run) -> dict[str, Any]:
    """Start a script as SYSTEM, or attach to the run of that id."""
    guest, files = run.guest, run.guest.files
    job_id = str(run.parameters.required("id"))
    folder = run_folder(job_id)
    script = str(run.parameters.required("script"))
    if not SCRIPT_NAME.match(script):
        raise ScriptError(f"script '{script}' is refused: the name of a script in {SCRIPTS} without .ps1 is wanted")
    for name in (script, "Invoke-SystemJob"):
        if not files.exists(f"{SCRIPTS}\\{name}.ps1"):
            raise ScriptError(f"there is no {name}.ps1 in {SCRIPTS}: send the scripts first")
    timeout = run.parameters.number("timeout_seconds", 0)
    text = ascii_json(run.parameters.get("parameters", {}))
    task = f"imagebuild-{job_id}"
    result = {"id": job_id, "task": task, "folder": folder, "started": False, "attached": False, "same_request": True}
    if files.exists(f"{folder}\\job.json"):
        known = json.loads(files.read_text(f"{folder}\\job.json"))
        kept = f"{folder}\\parameters.json"
        same_parameters = not files.exists(kept) or files.read_text(kept) == text
        result["same_request"] = (known["script"], known["timeout_seconds"]) == (script, timeout) and same_parameters
        begun = any(files.exists(f"{folder}\\{name}") for name in ("claim.txt", "exit.txt")) or not files.exists(kept)
        if not result["same_request"] or begun:
            return result | {"attached": True}
    files.write_text(f"{folder}\\parameters.json", text)
    job = {"id": job_id, "script": script, "timeout_seconds": timeout, "boot": guest.power.mark().as_json()}
    files.write_text(f"{folder}\\job.json", ascii_json(job))
    run.step(f"starting {script} as SYSTEM in the task {task}")
    if run.parameters.flag("detached", default=False):
        guest.tasks.register(task, f'-File "{SCRIPTS}\\{script}.ps1" -ParametersFile "{folder}\\parameters.json"')
        guest.tasks.run(task, PROGRAMS[:1], lambda pause: _run_alone(guest, folder, script, pause))
        return result | {"started": True}
    guest.tasks.register(task, f'-File "{SCRIPTS}\\Invoke-SystemJob.ps1" -ParametersFile "{folder}\\job.json"')
    guest.tasks.run(task, PROGRAMS, lambda pause: _wrap(guest, job_id, script, timeout, pause))
    return result | {"started": True}


def _run_alone(guest: Guest, folder: str, script: str, pause: Pause) -> bool:
    """The script is the task: nobody keeps its output, and nothing of the workplace stays open."""
    run_script_file(
        guest,
        f"{SCRIPTS}\\{script}.ps1",
        account=SYSTEM,
        parameters_file=f"{folder}\\parameters.json",
        read=lambda: b"",
        pause=pause,
        write=lambda text: None,
        write_error=lambda text: None,
    )
    return True


def _wrap(guest: Guest, job_id: str, script: str, timeout: int, pause: Pause) -> bool:
    """What the wrapper does: claim the run, play the script into output.txt, write exit.txt last. False when another has the claim."""
    folder = run_folder(job_id)
    if guest.files.exists(f"{folder}\\claim.txt"):
        return False
    guest.files.write_text(f"{folder}\\claim.txt", "1004")
    began = guest.power.uptime()
    output = f"{folder}\\output.txt"
    limit = _TimeLimit(guest, timeout, pause)

    def write(text: str) -> None:
        pause.check()
        guest.files.append(output, (text + "\r\n").encode())

    exit_record: dict[str, Any] = {"exit_code": None, "timed_out": False}
    guest.files.append(output, b"")
    with guest.files.held_open(output):
        try:
            inner = Pause(guest.clock, limit.over)
            path, parameters = f"{SCRIPTS}\\{script}.ps1", f"{folder}\\parameters.json"
            exit_record["exit_code"] = run_script_file(
                guest,
                path,
                account=SYSTEM,
                parameters_file=parameters,
                read=lambda: b"",
                pause=inner,
                write=write,
                write_error=write,
            )
        except Killed:
            pause.check()
            exit_record |= {"timed_out": True, "kill_code": 0}
    exit_record["elapsed_seconds"] = guest.power.uptime() - began
    if guest.files.is_folder(folder):
        guest.files.write_text(f"{folder}\\exit.txt", ascii_json(exit_record))
    return True


class _TimeLimit:
    def __init__(self, guest: Guest, seconds: int, pause: Pause) -> None:
        self._guest = guest
        self._end = guest.power.uptime() + seconds if seconds > 0 else None
        self._pause = pause

    def over(self) -> bool:
        try:
            self._pause.check()
        except Killed:
            return True
        return self._end is not None and self._guest.power.uptime() >= self._end


@plays("Invoke-SystemJob", "id", "script", "timeout_seconds", "boot")
def invoke_system_job(run: Run) -> dict[str, Any]:
    """The wrapper, run by hand."""
    job_id = str(run.parameters.required("id"))
    run_folder(job_id)
    script = str(run.parameters.required("script"))
    ran = _wrap(run.guest, job_id, script, run.parameters.number("timeout_seconds", 0), run.pause)
    return {"id": job_id, "ran": ran}


@plays("Get-SystemJob", "id", "output_from", "most_bytes")
def get_system_job(run: Run) -> dict[str, Any]:
    """How far a job is."""
    files = run.guest.files
    job_id = str(run.parameters.required("id"))
    folder = run_folder(job_id)
    result: dict[str, Any] = {
        "id": job_id, "state": "unknown", "exit_code": None, "timed_out": False, "error": None, "result": None,
        "output": "", "output_next": 0, "output_bytes": 0, "elapsed_seconds": None,
    }  # fmt: skip
    if not files.exists(f"{folder}\\job.json"):
        return result
    job = json.loads(files.read_text(f"{folder}\\job.json"))
    result["elapsed_seconds"] = max(0, run.uptime() - job["boot"]["uptime_seconds"])
    ended = files.exists(f"{folder}\\exit.txt")
    if ended:
        _read_exit(run.guest, folder, result)
    else:
        _judge_unended(run.guest, BootMark(**job["boot"]), result)
    whole = ended or result["state"] in ("crashed", "interrupted_by_reboot")
    start, most = run.parameters.number("output_from", 0), run.parameters.number("most_bytes", 65536)
    result |= _read_output(run.guest, f"{folder}\\output.txt", start, most, whole=whole)
    return result


def _judge_unended(guest: Guest, boot: BootMark, result: dict[str, Any]) -> None:
    task = guest.tasks.state(f"imagebuild-{result['id']}")
    if task == RUNNING:
        result["state"] = "running"
    elif guest.power.mark().event_index > boot.event_index:
        result |= {"state": "interrupted_by_reboot", "elapsed_seconds": None}
    elif task == READY and result["elapsed_seconds"] < 10:
        result["state"] = "queued"
    else:
        result["state"] = "crashed"


def _read_exit(guest: Guest, folder: str, result: dict[str, Any]) -> None:
    record = json.loads(guest.files.read_text(f"{folder}\\exit.txt"))
    result["state"] = "stopped" if record.get("stopped") else "finished"
    for name in ("exit_code", "timed_out", "error", "elapsed_seconds"):
        if record.get(name) is not None:
            result[name] = record[name]
    output = guest.files.read(f"{folder}\\output.txt") if guest.files.exists(f"{folder}\\output.txt") else b""
    found = re.findall(rb"@@RESULT ([A-Za-z0-9+/=]+) @@\s*$", output, re.MULTILINE)
    if found:
        result["result"] = json.loads(base64.b64decode(found[-1]))


def _read_output(guest: Guest, path: str, start: int, most: int, *, whole: bool) -> dict[str, Any]:
    """New whole lines from an offset on; of an ended job everything, and never half a character."""
    if not guest.files.exists(path):
        return {"output": "", "output_next": 0, "output_bytes": 0}
    content = guest.files.read(path)
    begin = start if 0 <= start <= len(content) else 0
    piece = content[begin : begin + most]
    end = len(piece)
    if end and not (whole and begin + end == len(content)):
        newline = piece.rfind(b"\n")
        end = newline + 1 if newline >= 0 else 0 if end < most else _character_end(piece)
    return {"output": piece[:end].decode("utf-8", "replace"), "output_next": begin + end, "output_bytes": len(content)}


def _character_end(piece: bytes) -> int:
    """Where to cut so that the last UTF-8 character is whole."""
    start = len(piece) - 1
    while start > 0 and start > len(piece) - 4 and piece[start] & 0xC0 == 0x80:
        start -= 1
    wanted = 4 if piece[start] >= 0xF0 else 3 if piece[start] >= 0xE0 else 2 if piece[start] >= 0xC0 else 1
    return start if start > 0 and start + wanted > len(piece) else len(piece)


def _remove_run(run: Run, folder: str) -> bool:
    """What is just ending may still hold output.txt: try for a while."""
    end = run.uptime() + REMOVE_SECONDS
    while True:
        run.guest.files.remove(folder)
        if not run.guest.files.exists(folder):
            return True
        if run.uptime() >= end:
            return False
        run.pause.wait(0.2)


@plays("Stop-SystemJob", "id", "remove")
def stop_system_job(run: Run) -> dict[str, Any]:
    """End a job and take its task away."""
    guest, files = run.guest, run.guest.files
    job_id = str(run.parameters.required("id"))
    folder, task = run_folder(job_id), f"imagebuild-{job_id}"
    was = (
        "unknown"
        if not files.exists(f"{folder}\\job.json")
        else "ended"
        if files.exists(f"{folder}\\exit.txt")
        else "not_ended"
    )
    processes = guest.tasks.processes(task)
    for process in processes:
        run.step(f"ending process {process.id} {process.name}")
    guest.tasks.kill(task)
    deleted = guest.tasks.delete(task)
    if was == "not_ended":
        files.write_text(f"{folder}\\exit.txt", ascii_json({"stopped": True, "exit_code": None, "timed_out": False}))
    removed = False
    if run.parameters.flag("remove", default=False) and files.exists(folder):
        removed = _remove_run(run, folder)
    killed = [{"id": process.id, "name": process.name} for process in processes]
    return {
        "id": job_id,
        "was": was,
        "killed": killed,
        "survivors": [],
        "task_deleted": deleted,
        "folder_removed": removed,
    }
