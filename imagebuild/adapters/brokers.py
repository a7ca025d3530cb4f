"""From the `broker:` section of a pool file to a broker that can be asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from imagebuild.adapters.command_broker import CommandBroker
from imagebuild.adapters.file_broker import FileBroker
from imagebuild.adapters.hook_programs import Programs
from imagebuild.adapters.leostream_api import LeostreamApi
from imagebuild.adapters.leostream_broker import LeostreamBroker, Reading
from imagebuild.adapters.leostream_centers import Centers
from imagebuild.adapters.marked_list import MarkedList
from imagebuild.adapters.no_broker import NoBroker
from imagebuild.broker import Broker
from imagebuild.broker_settings import BrokerSettings, CommandSettings, FileSettings, LeostreamSettings
from imagebuild.errors import RecipeError
from imagebuild.secrets import read_secret
from imagebuild.waiting import Clock

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)


@contextmanager
def open_broker(
    settings: BrokerSettings,
    *,
    folder: Path,
    clock: Clock | None = None,
    now: Now = utc_now,
    refills: bool = False,
) -> Iterator[Broker]:
    """The broker of a pool, until the block ends. Relative paths begin at `folder`. No call is made yet; raises RecipeError.

    `refills`: it is to make another for each desktop that is taken from offer.
    """
    if isinstance(settings, LeostreamSettings):
        api = _leostream_api(settings, folder, clock)
        try:
            yield _leostream(settings, api, now, refills=refills)
        finally:
            api.close()
    elif isinstance(settings, FileSettings):
        yield _file(settings, folder, clock, now)
    elif isinstance(settings, CommandSettings):
        yield _command(settings, folder, now)
    else:
        yield NoBroker(assume_idle=settings.assume_idle, now=now)


def _leostream_api(settings: LeostreamSettings, folder: Path, clock: Clock | None) -> LeostreamApi:
    ca_file = _place(settings.ca_file, folder) if settings.ca_file else None
    if ca_file and not ca_file.is_file():
        raise RecipeError(f"there is no file {ca_file}", hint="see `ca_file` in the broker section")
    return LeostreamApi(
        settings.url,
        user=read_secret(settings.user),
        password=read_secret(settings.password),
        domain=settings.domain,
        ca_file=ca_file,
        seconds=settings.deadline_seconds,
        clock=clock,
    )


def _leostream(settings: LeostreamSettings, api: LeostreamApi, now: Now, *, refills: bool) -> LeostreamBroker:
    reading = Reading(
        pool_name=settings.pool,
        drain=settings.drain,
        max_age=timedelta(minutes=settings.max_age_minutes),
        trust_unassigned=settings.trust_unassigned,
        zone=ZoneInfo(settings.time_zone),
        refills=refills,
    )
    centers = Centers(api, name=settings.center, scan_seconds=settings.scan_minutes * 60)
    return LeostreamBroker(api, centers, reading=reading, now=now)


def _file(settings: FileSettings, folder: Path, clock: Clock | None, now: Now) -> FileBroker:
    return FileBroker(
        _place(settings.sessions, folder),
        marked=MarkedList(_place(settings.unavailable, folder), clock=clock) if settings.unavailable else None,
        max_age=timedelta(minutes=settings.max_age_minutes),
        now=now,
    )


def _command(settings: CommandSettings, folder: Path, now: Now) -> CommandBroker:
    programs = Programs(settings.commands, folder=folder, seconds=settings.deadline_seconds)
    return CommandBroker(programs, max_age=timedelta(minutes=settings.max_age_minutes), now=now)


def _place(path: str, folder: Path) -> Path:
    return folder / Path(path).expanduser()
