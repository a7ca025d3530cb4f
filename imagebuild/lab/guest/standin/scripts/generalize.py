"""Start-Generalize: sysprep, its proof, the last clearing, the release of the lease, the seal, the shutdown, in the script's own order."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.answers import read_answers
from imagebuild.lab.guest.standin.model.clock import Killed, Pause, stamp
from imagebuild.lab.guest.standin.model.edition import COMPLETE, RESEALED
from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.registry import STAMP
from imagebuild.lab.guest.standin.model.sysprep import PANTHER_ANSWER, TAG, SysprepState
from imagebuild.lab.guest.standin.scripts.contract import (
    Parameters,
    Run,
    ScriptError,
    ascii_json,
    describe_error,
    plays,
)
from imagebuild.lab.guest.standin.scripts.generalize_log import find_reason, log_sizes, read_lines
from imagebuild.lab.guest.standin.scripts.leaving import check_serial_port, release_lease, shut_down
from imagebuild.lab.guest.standin.scripts.trace_guards import check_parameters
from imagebuild.lab.guest.standin.scripts.trace_table import walk_table

DEFAULT_FOLDER = WINDOWS + "\\Setup\\imagebuild"
KEPT_FILES = ("outcome.json", "phase.txt", "logs-before.txt")


@plays(
    "Start-Generalize", "answer_file", "folder", "deadline_seconds", "mode_vm", "traces", "task", "remove_after", "shutdown_seconds",
    "serial_port",
)  # fmt: skip
def start_generalize(run: Run) -> dict[str, Any]:
    """The last act; what it returns also stands in outcome.json."""
    if run.parameters_file is not None:
        run.guest.files.remove(run.parameters_file)
    folder, serial = run.parameters.text("folder", DEFAULT_FOLDER), run.parameters.text("serial_port")
    if not re.match(r'[A-Za-z]:\\[^\s"]+\Z', folder):
        raise ScriptError(f"folder '{folder}': a full path without spaces (sysprep's /unattend: does not stand them)")
    check_serial_port(serial)
    run.guest.files.make_folder(folder)
    for name in KEPT_FILES:
        run.guest.files.remove(f"{folder}\\{name}")
    return _Generalizing(run, folder, on_console=serial == "COM1").go()


class _Generalizing:
    def __init__(self, run: Run, folder: str, *, on_console: bool) -> None:
        self._run = run
        self._guest = run.guest
        self._folder = folder
        self._on_console = on_console
        self._answer_file = f"{folder}\\unattend.xml"
        self._proof = f"{folder}\\generalized.txt"
        self._outcome: dict[str, Any] = {
            "succeeded": False, "generalized": False, "phase": "starting", "reason": None, "resumed": False, "exit_code": None,
            "seconds": 0, "image_state": None, "dhcp": None, "traces": [],
        }  # fmt: skip

    def go(self) -> dict[str, Any]:
        try:
            traces = self._check()
            if not self._outcome["resumed"]:
                self._generalize()
            self._outcome["generalized"] = True
            self._clear(traces)
            self._release()
            self._seal_and_shut_down()
        except ScriptError as error:
            return self._give_up(error)
        task = self._run.parameters.text("task")
        if task:
            self._guest.tasks.delete(task)
        return self._outcome

    def _set_phase(self, name: str) -> None:
        self._outcome["phase"] = name
        line = f"{stamp(self._guest.clock.now())} {name}\r\n"
        self._guest.files.append(f"{self._folder}\\phase.txt", line.encode())
        if self._on_console:
            self._guest.machine.console(f"imagebuild: {name}")
        self._run.step(name)

    def _check(self) -> Parameters:
        self._set_phase("checking")
        self._guest.registry.remove_value(STAMP, "sealed")
        answer = str(self._run.parameters.required("answer_file")).removeprefix("\ufeff")
        _check_answer_file(answer)
        traces = Parameters(
            dict(self._run.parameters.get("traces", {})) | {"own_task": self._run.parameters.text("task")}
        )
        check_parameters(self._guest, traces)
        check_parameters(self._guest, Parameters({"paths": self._run.parameters.texts("remove_after")}))
        before = self._guest.sysprep.state()
        self._outcome["image_state"] = before.image_state
        if before.running:
            raise ScriptError("sysprep.exe is already running: wait for it, look with Get-GeneralizeOutcome")
        self._outcome["resumed"] = before.image_state == RESEALED and self._proof_text(before) == self._read_proof()
        if not self._outcome["resumed"] and before.image_state != COMPLETE:
            words = f"sysprep starts only from {COMPLETE}; rebuild from the seed image"
            raise ScriptError(f"the image state is {before.image_state}: {words}")
        return traces

    def _generalize(self) -> None:
        guest, run = self._guest, self._run
        self._set_phase("answer_file")
        self._outcome["traces"] = walk_table(run, Parameters({}), keep=[], only=["answer_files"], remove=True)
        answer = str(run.parameters.required("answer_file")).removeprefix("\ufeff")
        guest.files.write_text(self._answer_file, answer)
        guest.files.remove(TAG)
        self._set_phase("sysprep")
        sizes = log_sizes(guest)
        guest.files.write_text(f"{self._folder}\\logs-before.txt", " ".join(map(str, sizes)))
        self._run_sysprep(sizes)
        guest.files.write_text(self._proof, self._proof_text(guest.sysprep.state()) or "")

    def _run_sysprep(self, sizes: list[int]) -> None:
        """Ends when sysprep is proven to be done; fails when it ended otherwise or not in time. Never kills it."""
        guest, outcome = self._guest, self._outcome
        began, deadline = self._run.uptime(), self._run.parameters.number("deadline_seconds", 3600)
        timed_out = False

        def over() -> bool:
            try:
                self._run.pause.check()
            except Killed:
                return True
            return self._run.uptime() - began >= deadline

        try:
            outcome["exit_code"] = guest.sysprep.generalize(self._answer_file, Pause(guest.clock, over))
        except Killed:
            self._run.pause.check()
            timed_out = True
        state = guest.sysprep.state()
        outcome |= {"image_state": state.image_state, "seconds": self._run.uptime() - began}
        if state.image_state == RESEALED and state.tag_written is not None:
            return
        outcome["reason"] = find_reason(state.image_state, read_lines(guest, sizes), timed_out=timed_out)
        raise ScriptError(outcome["reason"]["words"])

    def _clear(self, traces: Parameters) -> None:
        self._set_phase("clearing")
        guest = self._guest
        guest.closing = True
        if guest.files.exists(PANTHER_ANSWER):
            guest.files.remove(self._answer_file)
        self._outcome["answer_file_kept"] = guest.files.exists(self._answer_file)
        if len(traces.values) > 1:
            keep = ["answer_files", *traces.texts("keep")]
            self._outcome["traces"] += walk_table(self._run, traces, keep=keep, only=[], remove=True)
        bad = [one["name"] for one in self._outcome["traces"] if one["weight"] != "litter" and one["left"]]
        if bad:
            raise ScriptError(f"the image would carry traces of its build: {', '.join(bad)}")

    def _release(self) -> None:
        self._set_phase("releasing")
        guest = self._guest
        self._outcome["dhcp"] = release_lease(guest)
        for path in self._run.parameters.texts("remove_after"):
            guest.files.remove(path)
            if guest.files.exists(path):
                raise ScriptError(f"the image would carry {path}: something in it is in use")

    def _seal_and_shut_down(self) -> None:
        guest, outcome = self._guest, self._outcome
        guest.registry.set(STAMP, "sealed", stamp(guest.clock.now()), "String")
        outcome["succeeded"] = True
        self._set_phase("shutdown")
        guest.files.write_text(f"{self._folder}\\outcome.json", ascii_json(outcome))
        shut_down(guest, self._run.parameters.number("shutdown_seconds", 15))

    def _give_up(self, error: ScriptError) -> dict[str, Any]:
        guest, outcome = self._guest, self._outcome
        guest.registry.remove_value(STAMP, "sealed")
        guest.closing = False
        failed = outcome["phase"]
        reason = outcome["reason"] or {"name": failed, "words": str(error), "fix": "", "line": None, "packages": []}
        outcome |= {"succeeded": False, "reason": reason, "error": describe_error("Start-Generalize", error)}
        if failed in ("releasing", "shutdown"):
            guest.machine.ask_dhcp(None)
        if not outcome["generalized"]:
            guest.files.remove(self._answer_file)
        self._set_phase(f"failed {failed}")
        outcome["phase"] = failed
        guest.files.write_text(f"{self._folder}\\outcome.json", ascii_json(outcome))
        return outcome

    def _proof_text(self, state: SysprepState) -> str | None:
        return None if state.tag_written is None else str(state.tag_written.timestamp())

    def _read_proof(self) -> str:
        return self._guest.files.read_text(self._proof) if self._guest.files.exists(self._proof) else ""


def _check_answer_file(text: str) -> None:
    try:
        read_answers(text)
    except ValueError as error:
        raise ScriptError(str(error)) from error
    root = re.search(r"<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s>/]", text)
    if root is not None and root[2] != "unattend":
        raise ScriptError(f"the answer file's root is '{root[2]}' instead of unattend")
    encoding = re.match(r"\s*<\?xml[^>]*encoding\s*=\s*[\"']([^\"']+)", text)
    if encoding is not None and encoding[1].lower() != "utf-8":
        raise ScriptError(f"the answer file says encoding {encoding[1]}; it is written as utf-8")
