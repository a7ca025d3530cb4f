"""A guest as a step sees it that has failed before: its jobs get new names, for under the old ones the bad results still stand.

A job in the guest never runs twice under one id, which is what a build that was cut off needs. A step that looked at the result
and found it bad needs the opposite: somebody has mended something, and the work is to be done again.
"""

from collections.abc import Mapping

from imagebuild.guest import Guest, OnStep, Parameters, Restarted, Value
from imagebuild.waiting import Deadline


class AnotherAttempt:
    """guest.Guest. Everything goes to the guest as it is, but for the names of jobs."""

    def __init__(self, guest: Guest, number: int) -> None:
        self._guest = guest
        self._number = number

    def send_scripts(self, *, deadline: Deadline) -> None:
        """As the guest does."""
        self._guest.send_scripts(deadline=deadline)

    def send_files(self, files: Mapping[str, bytes], *, deadline: Deadline) -> None:
        """As the guest does."""
        self._guest.send_files(files, deadline=deadline)

    def run(
        self, script: str, parameters: Parameters | None = None, *, deadline: Deadline, on_step: OnStep | None = None
    ) -> Value:
        """As the guest does."""
        return self._guest.run(script, parameters, deadline=deadline, on_step=on_step)

    def run_as_system(
        self,
        script: str,
        parameters: Parameters | None = None,
        *,
        job: str,
        deadline: Deadline,
        on_step: OnStep | None = None,
    ) -> Value:
        """Under this attempt's name of the job."""
        return self._guest.run_as_system(script, parameters, job=self._named(job), deadline=deadline, on_step=on_step)

    def start_as_system(
        self, script: str, parameters: Parameters | None = None, *, job: str, deadline: Deadline
    ) -> None:
        """Under this attempt's name of the job."""
        self._guest.start_as_system(script, parameters, job=self._named(job), deadline=deadline)

    def wait_until_ready(self, *, deadline: Deadline, on_step: OnStep | None = None) -> Value:
        """As the guest does."""
        return self._guest.wait_until_ready(deadline=deadline, on_step=on_step)

    def restart(self, reason: str, *, deadline: Deadline, on_step: OnStep | None = None) -> Restarted:
        """As the guest does."""
        return self._guest.restart(reason, deadline=deadline, on_step=on_step)

    def close(self) -> None:
        """As the guest does."""
        self._guest.close()

    def _named(self, job: str) -> str:
        return f"{job}-again-{self._number}"
