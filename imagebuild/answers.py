"""Answer files and Cloudbase-Init configuration, rendered from unattend/*.j2 and checked before they leave this machine.

Pure: settings, templates and a password in, text out. Every mistake is a RecipeError with all its reasons at once.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from imagebuild.answer_rules import find_answer_errors, find_configuration_errors
from imagebuild.complaints import complaint, in_words, written
from imagebuild.errors import RecipeError
from imagebuild.secrets import Secret

OperatingSystem = Literal["win7", "win10", "win11", "ws2012r2", "ws2016", "ws2019", "ws2022", "ws2025"]
MetadataSource = Literal["configdrive", "http"]

_VERSIONS = {"win7": (6, 1), "ws2012r2": (6, 3)}  # all others are 10.0
_LOCALE = r"[a-z]{2,3}(-[A-Z][a-z]{3})?-[A-Z]{2}"
_INPUT = r"[0-9A-Fa-f]{4}:([0-9A-Fa-f]{8}|\{[0-9A-Fa-f-]{36}\}\{[0-9A-Fa-f-]{36}\})"
# The Microsoft Korean IME. {A1E2B86B-...}, which many samples carry, is Old Hangul.
_KOREAN_IME = "0412:{A028AE76-01B1-46C2-99C4-ACD9858AE02F}{B5FE1F02-D5F2-4445-9C03-C568F23C99A1}"
_METADATA_SERVICES = {
    "configdrive": "cloudbaseinit.metadata.services.configdrive.ConfigDriveService",
    "http": "cloudbaseinit.metadata.services.httpservice.HttpService",
}


class AnswerSettings(BaseModel):
    """What the answer file and Cloudbase-Init's configuration are made of: plain data, no secrets.

    `time_zone` is a Windows name ('Korea Standard Time'); `product_key` a volume or MAK key, None leaves the image's;
    `metadata` is the order in which clones look for their metadata (each absent source costs its retries).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    os: OperatingSystem
    architecture: Literal["amd64", "x86"] = "amd64"
    locale: Annotated[str, written(_LOCALE, "must be a locale: ko-KR")]
    ui_language: Annotated[str, written(f"({_LOCALE})?", "must be a locale: ko-KR")] = Field(
        default="", description="empty: the locale"
    )
    input_locale: str = Field(default="", description="empty: the locale's usual input method")
    time_zone: Annotated[
        str, written(r"[A-Za-z][A-Za-z0-9 .()+_-]{1,63}", "must be Windows' name of a time zone: Korea Standard Time")
    ]
    product_key: (
        Annotated[
            str, written(r"([A-Z0-9]{5}-){4}[A-Z0-9]{5}", "must be five times five capitals and digits, with `-`")
        ]
        | None
    ) = None
    organization: str = Field(default="", max_length=64)
    owner: str = Field(default="", max_length=64)
    admin_user: str = Field(default="Administrator", min_length=1, max_length=20)
    remote_desktop: bool = True
    skip_rearm: bool = False
    specialize_by_cloudbase: bool = True
    metadata: tuple[MetadataSource, ...] = Field(default=("configdrive", "http"), min_length=1, strict=False)
    metadata_url: Annotated[
        str, written(r"https?://[A-Za-z0-9.:\[\]/_-]+/", "must be like http://169.254.169.254/, the `/` at its end too")
    ] = "http://169.254.169.254/"
    serial_port: Literal["COM1", "COM2"] | None = "COM1"

    @field_validator("input_locale")
    @classmethod
    def _input_locale(cls, value: str) -> str:
        for part in value.split(";") if value else ():
            if not re.fullmatch(_INPUT, part) and not re.fullmatch(_LOCALE, part):
                raise ValueError(f"'{part}' is neither a locale (ko-KR) nor an input method (0412:00000412)")
        return value

    @field_validator("admin_user")
    @classmethod
    def _admin_user(cls, value: str) -> str:
        # ASCII only: a profile folder with other letters breaks old installers.
        if re.search(r'["/\\\[\]:;|=,+*?<>@]|[^ -~]', value) or value != value.strip(" ."):
            raise ValueError(f"'{value}' is no account name that every Windows takes")
        if value.lower() in {"guest", "defaultaccount", "wdagutilityaccount", "system"}:
            raise ValueError(f"'{value}' belongs to Windows")
        return value

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: tuple[MetadataSource, ...]) -> tuple[MetadataSource, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a metadata source is named twice")
        return value

    @model_validator(mode="after")
    def _combination(self) -> "AnswerSettings":
        if self.architecture == "x86" and self.os not in {"win7", "win10"}:
            raise complaint(f"there is no x86 edition of {self.os}: leave architecture out", "architecture")
        if self.os == "win11" and self.admin_user.lower() == "administrator":
            # The built-in account is disabled on clients and Windows 11 no longer skips the page that asks for another.
            words = "Windows 11's first start asks for an account: name one of your own as admin_user"
            raise complaint(words, "admin_user")
        return self

    @property
    def nt(self) -> tuple[int, int]:
        """The version of Windows NT, to be compared as a pair: (6, 1), (6, 3) or (10, 0)."""
        return _VERSIONS.get(self.os, (10, 0))

    @property
    def is_server(self) -> bool:
        """Servers ask for the Administrator's password at first start, clients for an account."""
        return self.os.startswith("ws")

    @property
    def makes_account(self) -> bool:
        """Whether the answer file makes the administrator's account; the built-in one is always there."""
        return self.admin_user.lower() != "administrator"

    @property
    def enables_administrator(self) -> bool:
        """Clients disable the built-in account when setup ends: SetupComplete.cmd must enable it where it is the one to use."""
        return not self.is_server and not self.makes_account

    @property
    def language(self) -> str:
        """The language of the user interface."""
        return self.ui_language or self.locale

    @property
    def keyboard(self) -> str:
        """The input method."""
        return self.input_locale or (_KOREAN_IME if self.locale == "ko-KR" else self.locale)

    @property
    def metadata_services(self) -> tuple[str, ...]:
        """Cloudbase-Init's classes for `metadata`, in its order."""
        return tuple(_METADATA_SERVICES[source] for source in self.metadata)


@dataclass(frozen=True)
class CloudbaseConfiguration:
    """The two files that Install-CloudbaseInit writes: for the service, and for the specialize pass."""

    configuration: str
    unattend_configuration: str


def read_settings(values: Mapping[str, Any]) -> AnswerSettings:
    """The settings from plain data. Raises RecipeError with one line for each value that is wrong."""
    try:
        return AnswerSettings.model_validate(dict(values))
    except ValidationError as error:
        wrong = error.errors(include_input=False)
        lines = [f"{'.'.join(map(str, one['loc'])) or 'settings'}: {in_words(one)}" for one in wrong]
        raise RecipeError(f"{len(lines)} of the answer file's settings are wrong", details=lines) from None


def obscure_password(password: Secret, element: str) -> Secret:
    """The password as answer files carry it with PlainText=false: base64 of UTF-16LE of it and the element's name.

    That hides nothing, but needs no escaping. `element` is 'Password' or 'AdministratorPassword'.
    """
    return Secret(base64.b64encode(f"{password.reveal()}{element}".encode("utf-16-le")).decode("ascii"))


def render_answer_file(template_folder: Path, *, settings: AnswerSettings, password: Secret) -> str:
    """The answer file for `sysprep /unattend:` from sysprep.xml.j2. It holds the first password: treat it as a secret."""
    return render_checked(template_folder, "sysprep.xml.j2", settings=settings, password=password)


def render_checked(
    template_folder: Path,
    name: str,
    *,
    settings: AnswerSettings,
    password: Secret,
    values: Mapping[str, object] | None = None,
) -> str:
    """An answer file from the template `name`, which sees `settings`, both forms of the password and `values`."""
    passwords = {
        "administrator_password": obscure_password(password, "AdministratorPassword").reveal(),
        "account_password": obscure_password(password, "Password").reveal(),
    }
    text = _render(template_folder, name, {"settings": settings, **passwords, **(values or {})})
    _refuse(name, find_answer_errors(text, nt=settings.nt, architecture=settings.architecture))
    return text


def render_cloudbase_configuration(template_folder: Path, *, settings: AnswerSettings) -> CloudbaseConfiguration:
    """Cloudbase-Init's two configuration files from cloudbase-init.conf.j2 and cloudbase-init-unattend.conf.j2."""
    texts = []
    for name in ("cloudbase-init.conf.j2", "cloudbase-init-unattend.conf.j2"):
        texts.append(_render(template_folder, name, {"settings": settings}))
        _refuse(name, find_configuration_errors(texts[-1]))
    return CloudbaseConfiguration(*texts)


def _escape_option(value: object) -> str:
    """oslo.config reads `$name` as a reference to another option: a dollar is written twice."""
    return str(value).replace("$", "$$")


def _render(folder: Path, name: str, values: Mapping[str, object]) -> str:
    import jinja2  # here: every command reads settings, few render them

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(enabled_extensions=("xml.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["option"] = _escape_option
    try:
        return environment.get_template(name).render(values)
    except jinja2.TemplateNotFound as error:
        raise RecipeError(
            f"the template {error.name} is not in {folder}", hint="restore it, or name the folder that holds it"
        ) from error
    except jinja2.TemplateError as error:
        raise RecipeError(
            f"the template {name} cannot be rendered: {error}", hint=f"look at {folder / name}"
        ) from error


def _refuse(name: str, errors: tuple[str, ...]) -> None:
    if errors:
        raise RecipeError(f"what {name} gives would not work in Windows", hint="correct the template", details=errors)
