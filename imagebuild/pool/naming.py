"""How a pool, its desktops and their domain may be called, and what is said of other names."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from imagebuild.complaints import written

PoolName = Annotated[
    str,
    written(
        r"[a-z0-9][a-z0-9.-]{0,39}",
        "must be at most 40 small letters, digits, `.` and `-`, and begin with a letter or a digit",
    ),
]
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
DomainName = Annotated[
    str,
    StringConstraints(max_length=253),
    written(rf"{_LABEL}(\.{_LABEL})*", "must be a name of the DNS: corp.example"),
]
Names = Annotated[
    str,
    AfterValidator(lambda value: value.replace("{SEQUENCE}", "{sequence}")),
    written(
        r"[A-Za-z0-9-]*\{sequence\}[A-Za-z0-9-]*",
        "must be letters, digits and `-` around one {sequence}: desktop-{sequence}",
    ),
]
