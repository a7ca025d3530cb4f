"""What can go wrong, as one tree. Adapters translate a library's errors into these; only the front prints them.

    ImagebuildError                exit code 1
     +- RecipeError                2   the recipe, a setting or an answer file is wrong: nothing was touched
     +- CloudError                 1   the cloud said no, or something we did not expect
     |   +- NotFound                   a named thing is not there
     |   +- CloudRefused               not allowed, quota, conflict: asking again will not help
     |   +- CloudUnreachable           no answer, or 5xx/429 until the deadline
     +- GuestError                 1   the guest, or what ran in it
     |   +- GuestUnreachable           no WinRM answer (yet)
     |   +- GuestRefused               wrong certificate, wrong password, access denied
     |   +- SessionLost                the shell is gone (a reboot, an idle timeout); the work may still run
     |   +- ScriptFailed               a guest script answered {ok: false}
     |   +- ScriptBroken               no result line: the machinery failed
     +- StepFailed                 1   a step's own verdict, with what to look at
     |   +- LeftToOthers           7   ours is done; what is left only others can do, and it is told what
     +- VersionRefused             1   a version of an image is not in the state for what was asked, or is not ours
     +- RollRefused                2   a roll of a pool may not begin: nothing was touched
     +- VerificationFailed         1   clones of an image are not what they must be
     +- BrokerError                1   the connection broker answered with something we did not expect
     |   +- BrokerUnreachable          no answer, or busy until the deadline
     |   +- BrokerRefused              credentials, rights, or a request that it does not take
     |   +- CapabilityMissing          this kind of broker has no way to do that
     +- DeadlinePassed             1   a wait came to its end
     +- Busy                       3   somebody else holds the build, the lab or the claim
     +- LabError                   1   the lab could not be brought up
     +- Interrupted              130   Ctrl-C or SIGTERM

0 is done (a build: a new image), and UNCHANGED, 4, is no error at all: `--if-changed` or `--due` was asked, and there was nothing to
do. Nagios has its own four codes: `invoke check` speaks those and none of these.

`str(error)` is one sentence of what failed; `hint` is what to do next; `details` are lines for a person (log tails).
No secret is in any of them.
"""

from collections.abc import Sequence

UNCHANGED = 4
"""The exit code of a run that was told to work only when there is a reason to, and found none."""


class ImagebuildError(Exception):
    """The root. `message`: what was tried, on what, what came back. `hint`: what to do next. `details`: log lines."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        self.after: tuple[str, ...] = ()  # what stands and which command comes next, once somebody has seen to it


class RecipeError(ImagebuildError):
    """The recipe, a setting or a template is wrong. Raised before any cloud call; `details` holds one line an error."""

    exit_code = 2


class CloudError(ImagebuildError):
    """The cloud answered with an error that we have no better name for."""


class NotFound(CloudError):
    """A named thing does not exist in the cloud (or this user may not see it)."""


class CloudRefused(CloudError):
    """Not allowed, over quota, or in conflict: repeating the call will not help."""


class CloudUnreachable(CloudError):
    """No usable answer until the deadline: connection refused, 5xx, 429."""


class GuestError(ImagebuildError):
    """The guest, or what ran in it, failed."""


class GuestUnreachable(GuestError):
    """WinRM does not answer. During a boot this is normal: the waiter asks again."""


class GuestRefused(GuestError):
    """The guest answered and said no: certificate not the pinned one, wrong password, access denied."""


class SessionLost(GuestError):
    """The WinRM shell is gone. What it had started as SYSTEM may still run: attach again and look."""


class ScriptFailed(GuestError):
    """A guest script answered {ok: false}. `hresult` is the innermost Windows code, e.g. '0x80070005', or None."""

    def __init__(
        self, message: str, *, script: str, hresult: str | None = None, hint: str = "", details: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.script = script
        self.hresult = hresult


class ScriptBroken(GuestError):
    """A guest script printed no result line: PowerShell, the shell or the transfer failed, not the work itself."""


class StepFailed(ImagebuildError):
    """A step looked at the result of its work and it is not good enough to go on."""


class LeftToOthers(StepFailed):
    """All that we may change is as it is to be; the rest belongs to others. `details`: a line each, with what they must do."""

    exit_code = 7


class VersionRefused(ImagebuildError):
    """A version of an image cannot do what was asked: not verified, still current, or not one of ours. Nothing was touched."""


class RollRefused(ImagebuildError):
    """A roll of a pool may not begin as things are. `details`: a line a reason. Nothing was touched."""

    exit_code = 2


class VerificationFailed(ImagebuildError):
    """Clones of an image were looked at, and are not what they must be; or it could not be found out. `details`: a line a check."""


class BrokerError(ImagebuildError):
    """The connection broker does not answer, or not as expected."""


class BrokerUnreachable(BrokerError):
    """No usable answer from the broker until the deadline. Later it may be well again."""


class BrokerRefused(BrokerError):
    """The broker answered and said no, or did not keep what it was told: asking again will not help."""


class CapabilityMissing(BrokerError):
    """This broker has no way to do what was asked: wait, or ask a person; never force."""


class DeadlinePassed(ImagebuildError):
    """A wait ended without what it waited for."""


class Busy(ImagebuildError):
    """Somebody else holds what we need."""

    exit_code = 3


class LabError(ImagebuildError):
    """The lab cloud could not be brought up, or is broken."""


class Interrupted(ImagebuildError):
    """The person pressed Ctrl-C, or the machine asked us to stop."""

    exit_code = 130
