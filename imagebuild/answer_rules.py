"""What Windows Setup and Cloudbase-Init would stumble over in a rendered file, found here instead of in a clone's first start.

The passes are those of Microsoft's reference of unattended settings; a component in another pass stops Setup.
"""

import configparser
import re
from collections import Counter
from xml.etree import ElementTree

_NAMESPACE = "{urn:schemas-microsoft-com:unattend}"
_FIXED = {"publicKeyToken": "31bf3856ad364e35", "language": "neutral", "versionScope": "nonSxS"}
_PASSES = {
    "Microsoft-Windows-Deployment": {"auditUser", "generalize", "oobeSystem", "specialize"},
    "Microsoft-Windows-IE-ESC": {"specialize"},
    "Microsoft-Windows-International-Core": {"oobeSystem", "specialize"},
    "Microsoft-Windows-International-Core-WinPE": {"windowsPE"},
    "Microsoft-Windows-LUA-Settings": {"offlineServicing"},
    "Microsoft-Windows-PnpCustomizationsNonWinPE": {"auditSystem", "offlineServicing"},
    "Microsoft-Windows-PnpCustomizationsWinPE": {"windowsPE"},
    "Microsoft-Windows-PnpSysprep": {"generalize"},
    "Microsoft-Windows-Security-SPP": {"generalize"},
    "Microsoft-Windows-Security-SPP-UX": {"generalize", "specialize"},
    "Microsoft-Windows-SecureStartup-FilterDriver": {"oobeSystem", "specialize"},
    "Microsoft-Windows-ServerManager-SvrMgrNc": {"generalize", "specialize"},
    "Microsoft-Windows-Setup": {"windowsPE"},
    "Microsoft-Windows-Shell-Setup": {"auditSystem", "auditUser", "generalize", "oobeSystem", "specialize"},
    "Microsoft-Windows-TerminalServices-LocalSessionManager": {"generalize", "offlineServicing", "specialize"},
    "Microsoft-Windows-TerminalServices-RDP-WinStationExtensions": {"generalize", "offlineServicing", "specialize"},
    "Microsoft-Windows-UnattendedJoin": {"specialize"},
    "Networking-MPSSVC-Svc": {"generalize", "specialize"},
}
# Settings of Shell-Setup that are only read in one pass.
_ONE_PASS = {
    "ComputerName": "specialize",
    "ProductKey": "specialize",
    "UserAccounts": "oobeSystem",
    "OOBE": "oobeSystem",
}
_SINCE = {  # settings that an older Windows refuses
    "HideLocalAccountScreen": (6, 2),
    "HideOEMRegistrationScreen": (6, 2),
    "HideOnlineAccountScreens": (6, 2),
    "PreventDeviceEncryption": (6, 2),
}
_COMMANDS = (  # what holds a command, its line, and how many characters of it are read
    ("RunSynchronousCommand", "Path", 259),
    ("SynchronousCommand", "CommandLine", 1024),
)
_REFERENCE = re.compile(r"\$(?!\$)")


def find_answer_errors(text: str, *, nt: tuple[int, int], architecture: str) -> tuple[str, ...]:
    """What is wrong with an answer file for Windows NT version `nt`, one sentence each; nothing when it is good."""
    if not re.match(r"""<\?xml version=["']1\.0["'] encoding=["']utf-8["']\?>""", text):
        return ("the file must begin with an XML declaration that says utf-8: it is written as such",)
    try:
        root = ElementTree.fromstring(text.encode("utf-8"))  # noqa: S314  our own rendering, not somebody's upload
    except ElementTree.ParseError as error:
        return (f"the file is no XML: {error}",)
    if root.tag != f"{_NAMESPACE}unattend":
        return (f"the root is {root.tag} instead of unattend in its namespace",)
    errors = []
    for settings in root.findall(f"{_NAMESPACE}settings"):
        components = settings.findall(f"{_NAMESPACE}component")
        stage = settings.get("pass", "")
        counted = Counter(component.get("name", "") for component in components)
        errors += [f"{name} stands {count} times in the pass {stage}" for name, count in counted.items() if count > 1]
        for component in components:
            errors += _component_errors(component, stage, nt=nt, architecture=architecture)
    stages = Counter(settings.get("pass", "") for settings in root.findall(f"{_NAMESPACE}settings"))
    errors += [f"the pass {stage} stands {count} times" for stage, count in stages.items() if count > 1]
    return tuple(errors)


def find_configuration_errors(text: str) -> tuple[str, ...]:
    """What is wrong with a Cloudbase-Init configuration file, one sentence each; nothing when it is good."""
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        if not re.fullmatch(r"[\t -~]*", line):
            errors.append(f"line {number}: only ASCII is read the same on every Windows")
        if _REFERENCE.search(line.replace("$$", "")):
            errors.append(f"line {number}: a lone $ refers to another option; write $$")
    parser = configparser.ConfigParser(interpolation=None, default_section="none of them", strict=True)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return (*errors, f"the file cannot be read: {error}".replace("\n", " "))
    if not parser.has_section("DEFAULT"):
        return (*errors, "the section [DEFAULT] is missing")
    missing = {"plugins", "metadata_services"} - set(parser["DEFAULT"])
    errors += [f"{name} is not set: Cloudbase-Init would take its own list" for name in sorted(missing)]
    return tuple(errors)


def _component_errors(
    component: ElementTree.Element, stage: str, *, nt: tuple[int, int], architecture: str
) -> list[str]:
    name = component.get("name", "")
    where = f"{name} in {stage}"
    if name not in _PASSES:
        return [f"{where}: not a component that we know"]
    errors = []
    if stage not in _PASSES[name]:
        errors.append(f"{where}: belongs into {' or '.join(sorted(_PASSES[name]))}")
    if component.get("processorArchitecture") != architecture:
        errors.append(f"{where}: for {component.get('processorArchitecture')}, but the image is {architecture}")
    errors += [f"{where}: {key} must be {value}" for key, value in _FIXED.items() if component.get(key) != value]
    for element in component.iter():
        errors += _element_errors(element, where, stage, nt=nt)
    errors += _command_errors(component, where)
    return errors


def _element_errors(element: ElementTree.Element, where: str, stage: str, *, nt: tuple[int, int]) -> list[str]:
    tag = element.tag.removeprefix(_NAMESPACE)
    text = (element.text or "").strip()
    errors = []
    if tag in _SINCE and nt < _SINCE[tag]:
        errors.append(f"{where}: {tag} is unknown to Windows NT {nt[0]}.{nt[1]}")
    if tag == "ComputerName" and text != "*":
        errors.append(f"{where}: ComputerName must be absent or *, else every clone has one name")
    if where.startswith("Microsoft-Windows-Shell-Setup ") and stage != _ONE_PASS.get(tag, stage):
        errors.append(f"{where}: {tag} belongs into {_ONE_PASS[tag]}")
    return errors


def _command_errors(component: ElementTree.Element, where: str) -> list[str]:
    errors = []
    for listed, line, longest in _COMMANDS:
        commands = component.findall(f".//{_NAMESPACE}{listed}")
        orders = Counter(command.findtext(f"{_NAMESPACE}Order") for command in commands)
        lines = [command.findtext(f"{_NAMESPACE}{line}") or "" for command in commands]
        errors += [f"{where}: two commands have order {order}" for order, count in orders.items() if count > 1]
        errors += [
            f"{where}: a command has {len(text)} characters, {longest} are read"
            for text in lines
            if len(text) > longest
        ]
    return errors
