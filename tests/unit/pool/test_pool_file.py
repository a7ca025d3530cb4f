"""Pool files: every mistake at once with its line; numbers, times and windows as people write them; names that Windows can bear."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imagebuild.errors import RecipeError
from imagebuild.pool.definition import PoolDefinition, Rules
from imagebuild.pool.pool_file import find_pool, load_pool, pool_names
from imagebuild.pool.quantities import Share, duration_words, lasting, parse_duration, parse_share
from imagebuild.pool.window import Window
from tests.unit.pool.pools import define

PROJECT = Path(__file__).resolve().parents[3]
GOOD = """\
pool: staff
recipe: small
names: desktop-{sequence}
flavor: f
network: n
security_group: s
broker:
  kind: file
  sessions: sessions.csv
roll:
  max_unavailable: 20%
  window:
    hours: 22:00-05:00
    time_zone: Asia/Seoul
"""


def write(folder: Path, text: str = GOOD, name: str = "staff.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    """The problems as `LINE: text`."""
    with pytest.raises(RecipeError) as caught:
        load_pool(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.details]


def reason(**changes: Any) -> str:
    """Why a pool with these keys is refused."""
    with pytest.raises(ValidationError) as caught:
        define(**changes)
    return str(caught.value)


def test_a_right_file_becomes_a_value_with_the_defaults_that_keep_the_promise(tmp_path: Path) -> None:
    definition = load_pool(write(tmp_path))
    assert isinstance(definition, PoolDefinition)
    assert definition.tag == "vdi-pool=staff"
    assert definition.roll.max_unavailable == Share(20, percent=True)
    assert (definition.roll.logoff_policy, definition.roll.allow_root_volume_wipe) == ("wait", False)
    assert (definition.roll.canary, definition.roll.auto_continue) == (1, False)
    assert definition.roll.drain_deadline == timedelta(hours=24)
    with pytest.raises(ValidationError, match="frozen"):
        definition.pool = "other"


def test_the_pool_that_comes_with_the_project_is_right() -> None:
    folder = PROJECT / "recipes" / "pools"
    for name in pool_names(folder):
        definition = load_pool(find_pool(name, folder=folder))
        assert (folder.parent / f"{definition.recipe}.yaml").is_file()


def test_every_problem_is_told_at_once_with_its_line_and_what_is_meant(tmp_path: Path) -> None:
    text = GOOD.replace("sessions:", "session:").replace("20%", "some").replace("Asia/Seoul", "Asia/Soul")
    path = write(tmp_path, text + "  paralel_boots: 3\nflavour: f\n")
    assert problems(path) == [
        "7: broker.sessions: is missing",
        "9: broker.session: is not known here; did you mean 'sessions'?",
        "11: roll.max_unavailable: must be a number of desktops (3) or a share of the pool (10%)",
        "14: roll.window.time_zone: 'Asia/Soul' is no IANA time zone: write it like Asia/Seoul or UTC",
        "15: roll.paralel_boots: is not known here; did you mean 'parallel_boots'?",
        "16: flavour: is not known here; did you mean 'flavor'?",
    ]


def test_a_broker_of_a_kind_that_does_not_exist_is_told_which_there_are(tmp_path: Path) -> None:
    nearly = "8: broker.kind: is not known here; did you mean 'file'?"
    assert problems(write(tmp_path, GOOD.replace("kind: file", "kind: fiel"))) == [nearly]
    other = "8: broker.kind: is not known here; known are: command, file, leostream, none"
    assert problems(write(tmp_path, GOOD.replace("kind: file", "kind: horizon"))) == [other]
    missing = "7: broker.kind: is missing; known are: command, file, leostream, none"
    assert problems(write(tmp_path, GOOD.replace("  kind: file\n", ""))) == [missing]


def test_a_copied_file_must_not_go_on_with_the_other_pool_s_desktops(tmp_path: Path) -> None:
    assert problems(write(tmp_path, name="students.yaml")) == [
        "1: pool: is 'staff', but the file is called students.yaml: make them the same"
    ]


def test_a_pool_that_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(RecipeError, match="there is no pool 'staf'") as caught:
        find_pool("staf", folder=tmp_path)
    assert caught.value.hint == "did you mean staff?"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": "desktop"}, "around one {sequence}"),
        ({"names": "desktop-{sequence}-{sequence}"}, "around one {sequence}"),
        ({"names": "desk_top-{sequence}"}, "letters, digits and `-`"),
        ({"names": "workstation-{sequence}", "size": 1000}, "workstation-1000 has 16 characters"),
        ({"names": "{sequence}"}, "no name for a Windows machine"),
        ({"names": "{sequence}-"}, "no name for a Windows machine"),
        ({"pool": "a,b"}, "must be at most 40 small letters"),
        ({"roll": {"logoff_policy": "notify-then-force"}}, "`force_after` belongs to"),
        ({"roll": {"force_after": "1h"}}, "`force_after` belongs to"),
        (
            {"roll": {"logoff_policy": "notify-then-force", "force_after": "2d"}},
            "is longer than drain_deadline (1d)",
        ),
        ({"roll": {"max_unavailable": 0}}, "nothing could ever be rolled"),
        ({"roll": {"notify_text": "Bye in {hours}"}}, "knows only {minutes} and {deadline}"),
        ({"roll": {"order": ["free", "free"]}}, "names something twice"),
        ({"roll": {"canary": 0}}, "greater than or equal to 1"),
        ({"roll": {"drain_deadline": "24"}}, "number with its unit"),
    ],
)
def test_what_a_pool_must_not_say(changes: dict[str, Any], words: str) -> None:
    assert words in reason(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subnet": "172.16.100.1/24"}, "has host bits set"),
        ({"gateway": "10.0.0.1"}, "10.0.0.1 is not an address of a machine in 172.16.100.0/24"),
        ({"allocation": "10.0.0.1-10.0.0.9"}, "10.0.0.1 is not an address of a machine in 172.16.100.0/24"),
        ({"allocation": "172.16.100.10"}, "must be FIRST-LAST"),
        ({"allocation": "172.16.100.10-172.16.100"}, "does not appear to be an IPv4 or IPv6 address"),
        ({"dns": ["8.8.8.8"]}, "desktops could not ask 8.8.8.8"),
        ({"rdp_from": []}, "at least 1 item"),
    ],
)
def test_what_an_intranet_must_not_say(changes: dict[str, Any], words: str) -> None:
    intranet = {
        "subnet": "172.16.100.0/24",
        "dns": ["172.16.1.1"],
        "rdp_from": ["172.16.0.0/16"],
        "reach": ["172.16.0.0/12"],
    }
    assert define(intranet=intranet).intranet is not None
    assert words in reason(intranet=intranet | changes)


def test_names_and_numbers_belong_together_whatever_case_windows_made_of_them() -> None:
    definition = define(names="desktop-{SEQUENCE}", digits=3, size=999)
    assert definition.name_of(7) == "desktop-007"
    assert definition.number_of("DESKTOP-007") == 7
    assert [definition.number_of(name) for name in ("desktop-7", "desktop-", "desktop-007-old", "other-007")] == [
        None
    ] * 4
    assert define(digits=3).number_of("desktop-1000") == 1000


@pytest.mark.parametrize(
    ("text", "total", "number"),
    [("10%", 25, 2), ("10%", 5, 0), ("100%", 7, 7), (3, 1000, 3), ("3", 5, 3), ("0%", 9, 0)],
)
def test_a_share_never_takes_more_than_it_says(text: Any, total: int, number: int) -> None:
    assert parse_share(text).of(total) == number


@pytest.mark.parametrize("text", ["101%", "-1", "1.5%", "", True, None, 1.5, "10 %%"])
def test_what_is_no_share(text: Any) -> None:
    with pytest.raises(ValueError, match="must be "):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "seconds", "words"),
    [("90s", 90, "90s"), ("30m", 1800, "30m"), ("24h", 86400, "1d"), ("1.5h", 5400, "90m"), (0, 0, "0"), ("0", 0, "0")],
)
def test_times_with_their_units(text: Any, seconds: int, words: str) -> None:
    duration = parse_duration(text)
    assert duration == timedelta(seconds=seconds)
    assert duration_words(duration) == words


def test_times_for_a_person() -> None:
    told = [lasting(timedelta(seconds=seconds)) for seconds in (0, 45, 90, 600, 3600, 6000, 90000)]
    assert told == ["0 s", "45 s", "2 min", "10 min", "1 h", "1 h 40 min", "25 h"]


@pytest.mark.parametrize("text", ["24", 24, "1w", "-1h", True, None, "1 h m"])
def test_what_is_no_time(text: Any) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        parse_duration(text)


def test_a_definition_goes_through_json_and_comes_back_the_same() -> None:
    definition = define(
        roll={"max_failures": "5%", "checkpoints": ["10%", 5], "window": {"hours": "22:00-05:00", "time_zone": "UTC"}}
    )
    assert PoolDefinition.model_validate_json(definition.model_dump_json()) == definition


def test_limits_in_whole_desktops() -> None:
    rules = Rules()
    assert [rules.unavailable_limit(size) for size in (1, 9, 20, 1000)] == [1, 1, 2, 100]
    assert [rules.failure_budget(size) for size in (1, 19, 20, 1000)] == [1, 1, 1, 50]
    assert [rules.free_floor(threshold, 40) for threshold in (None, 0, 1, 7)] == [1, 1, 1, 7]
    assert Rules(min_available=0).free_floor(7, 40) == 0
    made = Rules(method="broker", max_unavailable=Share(2))
    assert [made.free_floor(threshold, size) for threshold, size in ((7, 40), (2, 40), (None, 40), (7, 4))] == [
        5,
        1,
        1,
        2,
    ]
    assert Rules(max_failures=0).failure_budget(1000) == 0  # type: ignore[arg-type]


def test_a_roll_stops_after_its_canary_and_at_its_checkpoints_but_not_at_its_end() -> None:
    assert Rules().stops(10) == (1,)
    assert Rules().stops(1) == ()
    rules = Rules.model_validate({"canary": 2, "checkpoints": ["10%", "50%", 20]})
    assert rules.stops(20) == (2, 10)
    assert Rules(canary_names=("a", "b", "c")).stops(10) == (3,)


NIGHT = Window(hours="22:00-05:00", time_zone="Asia/Seoul")


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [("12:59", False), ("13:00", True), ("19:59", True), ("20:00", False), ("03:00", False)],  # Seoul is UTC+9
)
def test_a_window_over_midnight_in_its_own_time_zone(utc: str, is_open: bool) -> None:
    now = datetime.fromisoformat(f"2026-03-04T{utc}:00+00:00")
    assert NIGHT.is_open(now) is is_open
    opens = NIGHT.opens_after(now)
    assert opens == now if is_open else (opens > now and NIGHT.is_open(opens))


def test_a_window_s_days_are_those_on_which_it_begins() -> None:
    window = Window.model_validate({"hours": "22:00-05:00", "time_zone": "UTC", "days": "mon-fri"})
    friday_night, saturday_morning = datetime(2026, 3, 6, 23, tzinfo=UTC), datetime(2026, 3, 7, 4, tzinfo=UTC)
    saturday_night, monday_morning = datetime(2026, 3, 7, 23, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC)
    assert [window.is_open(now) for now in (friday_night, saturday_morning, saturday_night, monday_morning)] == [
        True,
        True,
        False,
        False,
    ]
    assert window.opens_after(saturday_night) == datetime(2026, 3, 9, 22, tzinfo=UTC)
    weekend = Window.model_validate({"hours": "08:00-18:00", "time_zone": "UTC", "days": "sat, sun"})
    assert weekend.days == ("sat", "sun")
    assert Window.model_validate({"hours": "08:00-18:00", "time_zone": "UTC", "days": "sun-mon"}).days == ("sun", "mon")


def test_a_window_keeps_to_the_wall_clock_when_summer_begins() -> None:
    window = Window(hours="02:30-06:00", time_zone="Europe/Berlin")
    skipped = datetime(2026, 3, 28, 12, tzinfo=UTC)  # at 02:00 of the 29th the clocks are put to 03:00
    opens = window.opens_after(skipped)
    assert window.is_open(opens)
    assert opens.date() == datetime(2026, 3, 29).date()


@pytest.mark.parametrize(
    "changes", [{"hours": "22-05"}, {"hours": "05:00-05:00"}, {"time_zone": "Mars"}, {"days": "mon-fry"}, {"days": []}]
)
def test_what_is_no_window(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"hours": "22:00-05:00", "time_zone": "UTC"} | changes)
