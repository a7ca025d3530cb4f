"""A Windows for the WinRM server's tests: a handful of commands, and settings that a test may change while it runs."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from imagebuild.lab.guest.standin.machine import Call, WinRmRefused


@dataclass(frozen=True)
class Settings:
    """WinRM's configuration."""

    basic: bool = True
    allow_unencrypted: bool = True
    max_envelope_kb: int = 500
    max_shells_per_user: int = 30


class BrokenModel(Exception):
    """An error that the model did not expect."""


@dataclass
class WindowsDouble:
    """Fits imagebuild.lab.guest.standin.host.Host."""

    tls: tuple[Path, Path] | None = None
    wanted: frozenset[str] = frozenset({"http"})
    winrm: Settings = field(default_factory=Settings)
    passwords: dict[str, str] = field(default_factory=lambda: {"administrator": "Passw0rd!"})
    refusal: tuple[int, str] | None = None
    calls: list[Call] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when a `block` command noticed that it was stopped."""

    def listeners(self) -> frozenset[str]:
        return self.wanted

    def certificate(self) -> tuple[Path, Path] | None:
        return self.tls

    def settings(self) -> Settings:
        return self.winrm

    def password_of(self, user: str) -> str | None:
        return self.passwords.get(user.lower())

    def machine_sid(self) -> str | None:
        return "S-1-5-21-1-2-3"

    def computer_name(self) -> str:
        return "DOUBLE"

    def open_shell(self) -> None:
        if self.refusal:
            raise WinRmRefused(*self.refusal)

    def start(self, address: str | None) -> None:
        pass

    def run(self, call: Call) -> int:
        self.calls.append(call)
        word, _, rest = call.line.partition(" ")
        match word:
            case "echo":
                call.stdout(rest.encode() + b"\r\n")
            case "complain":
                call.stderr(rest.encode() + b"\r\n")
            case "exit":
                return int(rest)
            case "more":
                for text in call.stdin:
                    call.stdout(text)
            case "set":
                call.stdout("".join(f"{k}={v};" for k, v in sorted(call.environment.items())).encode())
            case "whoami":
                call.stdout(f"{call.user} {call.codepage}".encode())
            case "big":
                call.stdout(b"x" * int(rest))
            case "chatter":
                for number in range(int(rest)):
                    (call.stdout if number % 2 else call.stderr)(b"%d\r\n" % number)
            case "block":
                call.stdout(b"blocking\r\n")
                for _ in call.stdin:
                    pass
                assert call.stopped(), "input ended, nobody stopped us"
                self.ended.set()
            case "break":
                raise BrokenModel
            case _:
                call.stderr(f"{word}: unknown\r\n".encode())
                return 1
        return 0
