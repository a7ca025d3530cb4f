"""Install-Program: runs an installer of the stand-in's kind, retries while the Windows Installer is busy, asks for evidence."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.files import leaf
from imagebuild.lab.guest.standin.model.programs import BAD_EXE, file_version
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run, ScriptError, as_text, plays
from imagebuild.lab.guest.standin.scripts.media import find_media, format_exit_code

WORDS = {
    "0": "success",
    "3010": "success, a reboot is needed",
    "1641": "success, the installer began a reboot",
    "1603": "fatal error: see log_failure",
    "1618": "another installation is in progress",
    "1620": "not a valid package",
    "0x00240005": "installed, a reboot is needed",
    "0x80240017": "the update does not apply to this Windows",
    "0xC0000005": "the installer crashed (access violation)",
}
BUSY_SECONDS = 3  # 30 in Windows; the stand-in's installer is not busy as long
MSI_LOG = "C:\\Windows\\Temp\\imgbuild-msi.log"
PROPERTY = re.compile(r"[A-Z_][A-Z0-9_.]*\Z")


@plays(
    "Install-Program", "path", "kind", "arguments", "properties", "secret_properties", "sha256", "signer", "success_codes", "reboot_codes",
    "timeout_seconds", "settle_seconds", "busy_retries", "log", "detect", "media",
)  # fmt: skip
def install_program(run: Run) -> dict[str, Any]:
    """Run an installer unless its evidence is there already."""
    guest, parameters = run.guest, run.parameters
    path, kind = str(parameters.required("path")), str(parameters.required("kind"))
    if kind not in ("msi", "exe", "msu"):
        raise ScriptError(f"parameter 'kind' is '{kind}'; known are msi, exe, msu")
    detect = parameters.table("detect")
    unknown = [name for name in detect.values if name not in ("registry", "service", "file")]
    if unknown:
        named = "', '".join(unknown)
        raise ScriptError(f"parameter 'detect' has '{named}'; known are registry, service, file")
    evidence = find_evidence(run, detect)
    if evidence["present"]:
        return {
            "state": "already", "installed": True, "code": None, "words": "it was there already", "attempts": 0, "duration_seconds": 0,
            "reboot_needed": False, "reboot_begun": False, "evidence": evidence,
        }  # fmt: skip
    if parameters.text("media"):
        path = find_media(guest, parameters.text("media"))[0] + "\\" + path.lstrip("\\")
    if not guest.files.exists(path):
        raise ScriptError(f"there is no file '{path}'")
    _check_trust(run, path)
    log = parameters.text("log") or (MSI_LOG if kind == "msi" else "")
    if log:
        guest.files.remove(log)
    _check_properties(parameters)
    began = run.uptime()
    code, attempts = _run_installer(run, path, kind=kind, log=log)
    result = _judge(run, code, detect=detect, kind=kind) | {
        "attempts": attempts,
        "duration_seconds": run.uptime() - began,
    }
    secrets = [as_text(value) for value in parameters.table("secret_properties").values.values()]
    if not result["installed"]:
        result |= _read_log(run, log, secrets)
    if secrets and log:
        guest.files.remove(log)
    return result


def _check_trust(run: Run, path: str) -> None:
    wanted, got = run.parameters.text("sha256"), run.guest.files.sha256(path)
    if wanted and got.lower() != wanted.lower():
        raise ScriptError(
            f"'{path}' has SHA-256 {got}, expected {wanted}: not run; fetch it again or correct the recipe"
        )
    if run.parameters.text("signer"):
        advice = "not run (Windows 7 cannot judge SHA-2 signatures before KB4474419: rely on sha256 there)"
        raise ScriptError(f"the signature of '{path}' is NotSigned, not Valid: {advice}")


def _check_properties(parameters: Parameters) -> None:
    for name in (*parameters.table("properties").values, *parameters.table("secret_properties").values):
        if not PROPERTY.match(name):
            raise ScriptError(f"'{name}' is not a public MSI property (capitals, digits, _ and .)")


def _run_installer(run: Run, path: str, *, kind: str, log: str) -> tuple[str, int]:
    """The exit code as the script words it, and the attempts."""
    retries, attempts = run.parameters.number("busy_retries", 20), 0
    while True:
        attempts += 1
        run.step(f"installing {leaf(path)}, attempt {attempts}")
        code = run.guest.programs.run(path, kind=kind, log=log, pause=run.pause)
        if kind == "msu":
            code = 0x80240017
        if code == BAD_EXE:
            message = f"This command cannot be run due to the error: {leaf(path)} is not a valid Win32 application."
            raise ScriptError(message, hresult="0x800700C1", kind="System.InvalidOperationException")
        words = format_exit_code(code)
        if words != "1618" or attempts > retries:
            return words, attempts
        run.step(f"the Windows Installer is busy ({words}), waiting {BUSY_SECONDS} seconds")
        run.pause.wait(BUSY_SECONDS)


def _judge(run: Run, code: str, *, detect: Parameters, kind: str) -> dict[str, Any]:
    """The codes decide whether it worked, the evidence whether it is there."""
    given = run.parameters.get("reboot_codes", [3010, 1641])
    reboot = [format_exit_code(one) for one in (given if isinstance(given, list) else [given])]
    given = run.parameters.get("success_codes", [0])
    success = [format_exit_code(one) for one in (given if isinstance(given, list) else [given])] + reboot
    result: dict[str, Any] = {
        "state": "failed", "code": code, "words": WORDS.get(code, "unknown exit code"), "reboot_needed": False, "reboot_begun": False,
    }  # fmt: skip
    evidence = find_evidence(run, detect)
    if code in success:
        limit = run.uptime() + run.parameters.number("settle_seconds", 120)
        while detect.values and not evidence["present"] and run.uptime() < limit:
            run.pause.wait(1)
            evidence = find_evidence(run, detect)
        result |= {"state": "installed", "reboot_needed": code in reboot, "reboot_begun": code == "1641"}
        if detect.values and not evidence["present"]:
            result |= {
                "state": "not_detected",
                "words": f"exit code {code}, but missing: {'; '.join(evidence['missing'])}",
            }
    return result | {"installed": result["state"] == "installed", "evidence": evidence}


def find_evidence(run: Run, detect: Parameters) -> dict[str, Any]:
    """Everything named must hold."""
    guest, found, missing = run.guest, {}, []
    if "registry" in detect.values:
        want = detect.table("registry")
        path, name = str(want.required("path")), want.text("name")
        value: Any = guest.registry.get(path, name) if name else (guest.registry.has_key(path) or None)
        if value is not None:
            found["registry"] = value
        if value is None or not _matches(want, value):
            missing.append(f"registry {path} {name}".strip())
    if "service" in detect.values:
        service = guest.services.find(detect.text("service"))
        if service is None:
            missing.append(f"service {detect.text('service')}")
        else:
            found["service"] = service.state
    if "file" in detect.values:
        want = detect.table("file")
        path = str(want.required("path"))
        there = guest.files.exists(path)
        if there:
            found["file"] = file_version(guest.files.read_text(path))
        if not there or not _matches(want, found["file"]):
            missing.append(f"file {path}")
    return {"present": not missing and bool(found), "found": found, "missing": missing}


def _matches(want: Parameters, value: Any) -> bool:
    if want.get("equals") is not None and as_text(value) != want.text("equals"):
        return False
    return want.get("minimum_version") is None or _version(as_text(value)) >= _version(want.text("minimum_version"))


def _version(text: str) -> list[int]:
    found = re.search(r"\d+(\.\d+){0,3}", text)
    return [int(part) for part in (found[0].split(".") + ["0"] * 3)[:4]] if found else [0] * 4


def _read_log(run: Run, log: str, secrets: list[str]) -> dict[str, Any]:
    if not log or not run.guest.files.exists(log):
        return {"log_tail": []}
    text = run.guest.files.read(log).decode("utf-16", "replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    lines = [line for line in text.splitlines() if line]
    answer: dict[str, Any] = {"log_tail": lines[-30:]}
    for number, line in enumerate(lines):
        if re.search(r"\s3\.\s*\Z", line):
            return answer | {"log_failure": lines[max(0, number - 12) : number + 1]}
    return answer
