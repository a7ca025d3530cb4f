"""Set-BrokerAgent and Get-BrokerAgent: the configuration of an installed broker agent, and its state."""

from __future__ import annotations

import re
from typing import Any

from imagebuild.lab.guest.standin.model.files import WINDOWS
from imagebuild.lab.guest.standin.model.guest import Guest
from imagebuild.lab.guest.standin.model.programs import file_version
from imagebuild.lab.guest.standin.model.services import Service
from imagebuild.lab.guest.standin.scripts.contract import Parameters, Run, ScriptError, as_text, plays

ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?\Z")
REMOVABLE_FILE = re.compile(r"[A-Za-z]:\\[^\\/]+\\[^\\/]+")
REMOVABLE_KEY = re.compile(
    r"HKLM:\\SOFTWARE\\(?!Microsoft(\\|$))(?!(Classes|Policies)\\?$)(?!Wow6432Node(\\Microsoft(\\|$)|\\?$)).+",
    re.IGNORECASE,
)

PLACES = "HKLM:\\SOFTWARE\\imagebuild\\BrokerAgents"
NAMES_THE_BROKER = re.compile(r"(\w+://)?(\{address\}(:\{port\})?|\{port\})/?")


@plays(
    "Set-BrokerAgent", "service", "address", "port", "settings", "file", "listen_port", "wait_seconds", "goal", "records"
)  # fmt: skip
def set_broker_agent(run: Run) -> dict[str, Any]:
    """Configure an installed agent and start it, or stop it and remove what registers this machine."""
    guest, parameters = run.guest, run.parameters
    name = str(parameters.required("service"))
    goal = parameters.text("goal", "running")
    if goal not in ("running", "sealed"):
        raise ScriptError(f"parameter 'goal' is '{goal}'; known are running and sealed")
    address = str(parameters.required("address"))
    if not ADDRESS.match(address):
        raise ScriptError(f"parameter 'address' is '{address}': not a host name or address")
    port = parameters.number("port", 0) if parameters.required("port") else 0
    if not 1 <= port <= 65535:
        raise ScriptError(f"parameter 'port' is {port}, not 1 to 65535")
    service = _find_service(guest, name)
    changed = _configure(run, service, address, port=port)
    if goal == "sealed":
        removed, absent, listening = *_seal(run, service, changed), None
    else:
        removed, absent, listening = [], [], _start(run, service, changed)
    wanted = "Stopped" if goal == "sealed" else "Running"
    after = _find_service(guest, name)
    if after.state != wanted:
        raise ScriptError(f"the service '{name}' is {after.state}, not {wanted}: see the agent's own log")
    return {
        "goal": goal, "changed": changed, "removed": removed, "absent": absent, "state": after.state, "start_mode": after.start_mode,
        "listening": listening,
    }  # fmt: skip


def _find_service(guest: Guest, name: str) -> Service:
    found = guest.services.find(name)
    if found is None:
        raise ScriptError(
            f"there is no service '{name}': install the agent first, or correct the service's name in the recipe"
        )
    return found


def _configure(run: Run, service: Service, address: str, *, port: int) -> list[str]:
    """Write settings and file; the agent knows its broker once one of them names the address."""
    guest, changed, written, places = run.guest, [], [], []

    def expand(value: Any) -> Any:
        if isinstance(value, list):
            return [expand(item) for item in value]
        return value.replace("{address}", address).replace("{port}", str(port)) if isinstance(value, str) else value

    for setting in (Parameters(one) for one in run.parameters.items("settings")):
        path, entry, kind = str(setting.required("path")), str(setting.required("name")), setting.text("kind", "String")
        if NAMES_THE_BROKER.fullmatch(as_text(setting.get("value", ""))):
            places.append(f"{path}\t{entry}")
        value = expand(setting.get("value", ""))
        written.append(as_text(value))
        same = guest.registry.kind(path, entry) == kind and as_text(guest.registry.get(path, entry)) == as_text(value)
        if not same:
            guest.registry.set(path, entry, int(value) if kind == "DWord" else value, kind)
            changed.append(f"{path} : {entry}")
    if places:
        guest.registry.set(PLACES, service.name, places)
    file = run.parameters.table("file")
    if file.values:
        path, text = str(file.required("path")), expand(str(file.required("text")))
        written.append(text)
        if not guest.files.exists(path) or guest.files.read_text(path) != text:
            guest.files.write_text(path, text)
            changed.append(path)
    if any(address in text for text in written):
        guest.agents.know_broker(service.name, address, port)
    if service.start_mode != "Auto":
        guest.services.set_start_mode(service.name, "Auto")
        changed.append(f"service {service.name} : automatic")
    return changed


def _start(run: Run, service: Service, changed: list[str]) -> bool | None:
    guest = run.guest
    if not service.running:
        guest.services.start(service.name)
        changed.append(f"service {service.name} : started")
    elif changed:
        guest.services.stop(service.name)
        guest.services.start(service.name)
        changed.append(f"service {service.name} : restarted")
    port = run.parameters.number("listen_port", 0)
    if port <= 0:
        return None
    limit = run.uptime() + run.parameters.number("wait_seconds", 60)
    while port not in guest.listening_ports() and run.uptime() < limit:
        run.pause.wait(1)
    return port in guest.listening_ports()


def _seal(run: Run, service: Service, changed: list[str]) -> tuple[list[str], list[str]]:
    if service.running:
        run.guest.services.stop(service.name)
        changed.append(f"service {service.name} : stopped")
    removed, absent = [], []
    for record in (Parameters(one) for one in run.parameters.items("records")):
        _check_record(record)
        name = _record_name(run.guest, record)
        if name is None:
            absent.append(record.text("file") or f"{record.text('path')} : {record.text('name')}".rstrip(" :"))
            continue
        if record.text("file"):
            run.guest.files.remove(record.text("file"))
        elif record.text("name"):
            run.guest.registry.remove_value(record.text("path"), record.text("name"))
        else:
            run.guest.registry.remove_key(record.text("path"))
        removed.append(name)
    return removed, absent


def _check_record(record: Parameters) -> None:
    """The guards that keep a slip in a recipe from emptying Windows."""
    file = record.text("file")
    if file:
        inside = file.lower().startswith(f"{WINDOWS}\\System32".lower())
        if not REMOVABLE_FILE.match(file) or re.search(r"[\\/]\.\.?([\\/]|$)", file) or inside:
            raise ScriptError(
                f"record file '{file}' is not removed: only files or folders two levels down, and none of Windows itself"
            )
    elif not REMOVABLE_KEY.fullmatch(str(record.required("path"))):
        raise ScriptError(
            f"record '{record.text('path')}' is not removed: only keys below HKLM:\\SOFTWARE\\, and none of Microsoft's"
        )


def _record_name(guest: Guest, record: Parameters) -> str | None:
    """The record in words when it is there."""
    file, path, name = record.text("file"), record.text("path"), record.text("name")
    if file:
        return file if guest.files.exists(file) else None
    if not guest.registry.has_key(path):
        return None
    if not name:
        return path
    return f"{path} : {name}" if guest.registry.get(path, name) is not None else None


@plays("Get-BrokerAgent", "service", "settings", "file", "listen_port", "records")
def get_broker_agent(run: Run) -> dict[str, Any]:
    """What state the agent is in."""
    guest, parameters = run.guest, run.parameters
    settings = []
    for setting in (Parameters(one) for one in parameters.items("settings")):
        path, entry = str(setting.required("path")), str(setting.required("name"))
        kind, value = guest.registry.kind(path, entry), guest.registry.get(path, entry)
        settings.append({"path": path, "name": entry, "kind": kind, "value": value})
    file, port = parameters.text("file"), parameters.number("listen_port", 0)
    present = [
        name for one in parameters.items("records") if (name := _record_name(guest, Parameters(one))) is not None
    ]
    result = {
        "installed": False, "version": None, "executable": None, "state": None, "start_mode": None, "account": None, "settings": settings,
        "file_sha256": guest.files.sha256(file) if file and guest.files.exists(file) else None,
        "listening": port in guest.listening_ports() if port > 0 else None, "records_present": present, "clean": not present,
    }  # fmt: skip
    service = guest.services.find(str(parameters.required("service")))
    if service is None:
        return result
    executable = service.path.split('"')[1] if service.path.startswith('"') else service.path.split(".exe")[0] + ".exe"
    result |= {"installed": True, "state": service.state, "start_mode": service.start_mode, "account": service.account}
    version = file_version(guest.files.read_text(executable)) if guest.files.exists(executable) else None
    return result | {"executable": executable, "version": version}
