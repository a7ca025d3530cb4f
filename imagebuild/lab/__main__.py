"""`python -m imagebuild.lab up|down|reset|status`: one action in a process of its own; that is how the lab runs itself through sudo."""

import sys

from imagebuild.errors import ImagebuildError
from imagebuild.lab.lifecycle import down, reset, status, up
from imagebuild.report import ConsoleReport


def main(action: str, *arguments: str) -> int:
    """For privilege.run_as_root: one action in a process of its own."""
    report = ConsoleReport()
    try:
        match action:
            case "up":
                up(report, fake_hosts=int(arguments[0]) if arguments else None)
            case "down":
                down(report)
            case "reset":
                reset(report)
            case _:
                report.say("\n".join(status().lines()))
    except ImagebuildError as error:
        report.say(f"{error}\n  hint: {error.hint}" + "".join(f"\n  | {line}" for line in error.details))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
