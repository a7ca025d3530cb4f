"""How long a cloud or a broker that fails is borne: services fail now and then, and a roll is not to be halted by each hiccup."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from imagebuild.errors import ImagebuildError
from imagebuild.pool.quantities import lasting
from imagebuild.report import Report

PATIENCE = timedelta(minutes=10)
"""So long cloud or broker may fail before the roll halts."""
LAST_PATIENCE = timedelta(hours=1)
"""So long a roll that is ending waits for them to finish what is in hand."""


@dataclass
class Patience:
    """`since`: when they began to fail, None while all is well."""

    report: Report
    since: datetime | None = None

    def bear(self, trouble: ImagebuildError, now: datetime) -> str | None:
        """One more failure, the first of a row is told; gives why that was too much, None while it is borne."""
        if self.since is None:
            self.since = now
            self.report.warn(str(trouble))
        return f"for {lasting(now - self.since)}: {trouble}" if now - self.since > PATIENCE else None

    def rest(self) -> None:
        """All is well again."""
        self.since = None

    def is_over(self, now: datetime) -> bool:
        """Have they failed for so long that nothing more is to be waited for?"""
        return self.since is not None and now - self.since > LAST_PATIENCE
