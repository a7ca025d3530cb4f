"""What somebody is told who writes a pool file wrongly: the line, the key, and what to write, in words for a person."""

from pathlib import Path

import pytest

from imagebuild.errors import RecipeError
from imagebuild.front.telling import _lines
from imagebuild.pool.pool_file import load_pool

HEAD = """\
pool: staff
recipe: small
flavor: f
network: n
security_group: s
"""
INTRANET = {
    "subnet": "172.16.100.0/24",
    "dns": "[172.16.1.1]",
    "rdp_from": "[172.16.0.0/16]",
    "reach": "[172.16.0.0/12]",
}
SECTION = "must be keys with their values, each in a line below it, indented"
TEXT = "must be a text; in quotes, where YAML takes it for something else"
NOTICE = "7: roll.notify_text: knows only {minutes} and {deadline}, just so; a brace itself is written twice"
EMPTY = "is empty: fill it in, or leave it out for the default"
DAYS = "must be days, from one to another (mon-fri) or a list of mon, tue, wed, thu, fri, sat, sun"
TAG = "cannot be read: put it in quotes if it is a text; tags, `!`, mean nothing here"
SECRET = "must say where it stands, env:NAME or file:PATH, and not be the secret itself"


def refusal(folder: Path, more: str, head: str = HEAD) -> RecipeError:
    """What is said of a pool with these lines below its first five."""
    path = folder / "staff.yaml"
    path.write_text(head + more, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_pool(path)
    return caught.value


def told(folder: Path, more: str, head: str = HEAD) -> list[str]:
    """The problems as `LINE: text`."""
    return [line.removeprefix(f"{folder}/staff.yaml:") for line in refusal(folder, more, head).details]


def roll(*lines: str) -> str:
    return "".join(f"  {line}\n" for line in lines).join(("roll:\n", ""))


def intranet(**changes: str) -> str:
    lines = {"subnet": INTRANET["subnet"], **changes, **{k: v for k, v in INTRANET.items() if k not in changes}}
    return "intranet:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items())


def broker(kind: str, *lines: str) -> str:
    return f"broker:\n  kind: {kind}\n" + "".join(f"  {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        # sections, lists, texts, numbers
        ("roll:\n", [f"6: roll: {EMPTY}"]),
        ("roll: fast\n", [f"6: roll: {SECTION}"]),
        ("roll: [fast]\n", [f"6: roll: {SECTION}"]),
        ("broker: leostream\n", [f"6: broker: {SECTION}"]),
        (roll("window: 22:00-05:00"), [f"7: roll.window: {SECTION}"]),
        (roll("canary_names: desktop-3"), ["7: roll.canary_names: must be a list, also of one: [desktop-3]"]),
        (roll("canary_names: [desktop-3,]", "checkpoints: 10%"), ["8: roll.checkpoints: must be a list, also of one: [10%]"]),
        (roll("order: {free: 1}"), ["7: roll.order: must be a list, also of one: [ONE, ANOTHER]"]),
        (intranet(rdp_from="10.0.0.0/8"), ["8: intranet.rdp_from: must be a list, also of one: [10.0.0.0/8]"]),
        (intranet(reach="[]"), ["8: intranet.reach: must not be empty"]),
        ("names: {sequence}\n", [f"6: names: {TEXT}"]),
        ("description: 2026-01-01\n", [f"6: description: {TEXT}"]),
        ("description: 2026-13-45\n", ["6: description: cannot be read as timestamp: put it in quotes if it is a text"]),
        ("size: many\n", ["6: size: must be a whole number"]),
        ("size: 3.5\n", ["6: size: must be a whole number"]),
        ("size: 0\n", ["6: size: must be at least 1"]),
        ("digits: 10\n", ["6: digits: must be at most 9"]),
        (roll("min_available: 10%"), ["7: roll.min_available: must be a whole number"]),
        (roll("min_available: true"), ["7: roll.min_available: must be a number"]),
        (roll("canary: yes"), ["7: roll.canary: must be a number"]),
        (roll("auto_continue: maybe"), ["7: roll.auto_continue: must be true or false"]),
        (roll("look_every: 0"), ["7: roll.look_every: must be at least 1s"]),
        (roll("method: Broker"), ["7: roll.method: must be 'auto', 'rebuild', 'replace' or 'broker'"]),
        ("server_group: " + "y" * 300 + "\n", ["6: server_group: must have at most 255 characters"]),
        # forms
        ("domain: corp_x\n", ["6: domain: must be a name of the DNS: corp.example"]),
        ("names: desk_{sequence}\n", ["6: names: must be letters, digits and `-` around one {sequence}: desktop-{sequence}"]),
        (
            roll("window: {hours: 22-5, time_zone: KST}"),
            [
                "7: roll.window.hours: must be hours and minutes, FROM-TO: 22:00-05:00",
                "7: roll.window.time_zone: 'KST' is no IANA time zone: write it like Asia/Seoul or UTC",
            ],
        ),
        (roll("window:", "  hours: 22:00-05:00", "  time_zone: UTC", "  days: monday-friday"), [f"10: roll.window.days: {DAYS}"]),
        (
            roll("window:", "  hours: 22:00-05:00", "  time_zone: UTC", "  days: [monday]"),
            ["10: roll.window.days[0]: must be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'"],
        ),
        (roll("window:", "  hours: 22:00-05:00", "  time_zone: UTC", "  days: []"), ["10: roll.window.days: must not be empty"]),
        *((roll(f'notify_text: "{text}"'), [NOTICE]) for text in ("{minutes.x}", "{minutes[0]}", "{minutes:>999999999999}")),
        *((roll(f'notify_text: "{text}"'), [NOTICE]) for text in ("{deadline!r}", "{}", "{user}", "a { b")),
        # keys that do not go together
        ("digits: 9\nsize: 100000\n", ["6: digits: desktop-000100000 has 17 characters: Windows names have at most 15"]),
        (
            "size: 100000\nfirst: 100000000\n",
            ["6: size: desktop-100099999 has 17 characters: Windows names have at most 15"],
        ),
        ("names: my-desktop-long-{sequence}\n", ["6: names: my-desktop-long-1 has 17 characters: Windows names have at most 15"]),
        ("ou: OU=a,DC=corp,DC=example\ndomain: other.example\n", ["7: domain: is other.example, and `ou` is in corp.example"]),
        (roll("max_unavailable: 0"), ["7: roll.max_unavailable: is 0, and there is no max_surge: nothing could ever be rolled"]),
        (roll("canary: 1", "order: [free, free]"), ["8: roll.order: names something twice"]),
        (roll("canary_names: [a, A]"), ["7: roll.canary_names: names something twice"]),
        (
            roll("canary_names: [a]", "canary: 2"),
            ["8: roll.canary: is 2, and `canary_names` names 1: leave one of them out"],
        ),
        (
            roll("canary: 1", "force_after: 2h"),
            ["8: roll.force_after: `force_after` belongs to `logoff_policy: notify-then-force`: say both or neither"],
        ),
        (
            roll("canary: 1", "logoff_policy: notify-then-force"),
            ["8: roll.logoff_policy: `force_after` belongs to `logoff_policy: notify-then-force`: say both or neither"],
        ),
        (
            roll("logoff_policy: notify-then-force", "force_after: 3d"),
            ["8: roll.force_after: is longer than drain_deadline (1d): nothing would ever be forced"],
        ),
        (
            roll("method: broker", "max_surge: 1"),
            ["8: roll.max_surge: has no place beside `method: broker`: how many more there are is the broker's choice"],
        ),
        # the network
        (intranet(dns="[dc1]"), ["8: intranet.dns[0]: 'dc1' does not appear to be an IPv4 or IPv6 address"]),
        (intranet(dns="[8.8.8.8]"), ["8: intranet.dns: desktops could not ask 8.8.8.8: `reach` does not have it"]),
        (
            intranet(allocation="172.16.100.50-172.16.100.10"),
            ["8: intranet.allocation: ends before it begins: 172.16.100.10 is lower than 172.16.100.50"],
        ),
        (
            intranet(allocation="172.16.100.0-172.16.100.10"),
            ["8: intranet.allocation: 172.16.100.0 is not an address of a machine in 172.16.100.0/24"],
        ),
        (
            intranet(gateway="172.16.100.255"),
            ["8: intranet.gateway: 172.16.100.255 is not an address of a machine in 172.16.100.0/24"],
        ),
        (intranet(subnet="fd00::/64"), ["7: intranet.subnet: must be a range of IPv4 addresses"]),
        # the broker
        (
            broker("leostream", "url: http://x", "user: admin", "password: Sup3rS3cret"),
            [
                "8: broker.url: must be https://HOST[:PORT], with neither path nor password",
                f"9: broker.user: {SECRET}",
                f"10: broker.password: {SECRET}",
            ],
        ),
        (
            broker("command", "commands: {seat: [a], health: b}"),
            [
                "8: broker.commands.health: must be a list, also of one: [b]",
                "8: broker.commands.seat: is no key for this place: a key must be 'seats', 'health', 'settings', "
                "'registrations', 'set-available', 'notify', 'release', 'forget', 'set-pool-image', 'set-provisioning' "
                "or 'refresh'",
            ],
        ),
        (broker("none", "drian: none"), ["8: broker.drian: is not known here; known are: assume_idle, kind"]),
        (broker("file", "sessions: a.csv", "max_age_minutes: .inf"), ["9: broker.max_age_minutes: must be a finite number"]),
        (broker("file", "sessions: a.csv", "max_age_minutes: 1e300"), ["9: broker.max_age_minutes: must be at most 10080"]),
        # what YAML makes of it
        ("roll: !!python/object:os.system {}\n", [f"6: roll: {TAG}"]),
        ("roll: !!set {canary}\n", [f"6: roll: {TAG}"]),
        ("description: !foo bar\n", [f"6: description: {TAG}"]),
        ("[a, b]: x\n", ["6: ?: a key is a word, not a list or a mapping"]),
    ],
)  # fmt: skip
def test_each_mistake_is_told_at_its_key_with_what_to_write(tmp_path: Path, more: str, expected: list[str]) -> None:
    assert told(tmp_path, more) == expected


def test_a_name_that_is_no_name_is_told_what_names_are(tmp_path: Path) -> None:
    head = HEAD.replace("pool: staff", "pool: Staff").replace("recipe: small", "recipe: Win 7")
    words = "small letters, digits, `.` and `-`, and begin with a letter or a digit"
    assert told(tmp_path, "", head) == [
        f"1: pool: must be at most 40 {words}",
        f"2: recipe: must be at most 63 {words}",
    ]


@pytest.mark.parametrize(
    ("more", "line", "words", "advice"),
    [
        ("roll:\n  max_unavailable: %10\n", 7, "found character '%' that", "put a value that begins with it in quotes"),
        ("description: @x\n", 6, "found character '@' that", "put a value that begins with it in quotes"),
        ("roll:\n\tcanary: 2\n", 7, "found character '\\t' that", "take the tab out: YAML is indented with blanks"),
        ("---\npool: b\n", 6, "found another document", "one pool a file: take out the line `---` and what belongs to"),
        ("description: *x\n", 6, "found undefined alias", "put a value that begins with `*` in quotes"),
        ("description: a: b\n", 6, "mapping values are not", "put a text with `: ` in it in quotes; else look at the"),
        ("size 3\nou: x\n", 7, "could not find expected ':'", "a key ends with a colon and a blank: `key: value`"),
        ("roll: {canary: 2\nsize: 3\n", 7, "expected ',' or '}'", "close the bracket of line 6, or put a comma"),
        ('description: "abc\nsize: 3\n', 8, "found unexpected end of stream", "close the quote of line 6"),
        ('description: "C:\\Desk"\n', 6, "found unknown escape character 'D'", "use single quotes: in double ones"),
        ("roll:\n  canary: 2\n canary: 3\n", 8, "expected <block end>", "look at the indentation there"),
    ],
)
def test_what_is_no_yaml_is_told_with_what_helps(tmp_path: Path, more: str, line: int, words: str, advice: str) -> None:
    error = refusal(tmp_path, more)
    assert str(error).startswith(f"{tmp_path}/staff.yaml:{line}: not YAML: {words}")
    assert str(error.hint).startswith(advice)


@pytest.mark.parametrize(
    "password",
    ["Sup3rS3cret", "*Sup3rS3cret", "!Sup3rS3cret", "!!int Sup3rS3cret", "[Sup3rS3cret]", "{Sup3rS3cret: 1}", '"Sup3rS3cret']
    + ["&Sup3rS3cret", "&Sup3rS3cret x\n  ca_file: *Sup3rS3creT", "@Sup3rS3cret", "%Sup3rS3cret", "!a!Sup3rS3cret"]
    + ["env:A\n  url: https://me:Sup3rS3cret@x", "Sup3rS3cret: x"],
)  # fmt: skip
def test_a_password_in_a_file_is_refused_and_not_repeated(tmp_path: Path, password: str) -> None:
    error = refusal(tmp_path, broker("leostream", "url: https://x", "user: env:A", f"password: {password}"))
    assert "Sup3r" not in "\n".join(_lines(error))


def test_what_a_file_may_say(tmp_path: Path) -> None:
    path = tmp_path / "staff.yaml"
    more = roll(
        'notify_text: "{{soon}}: {minutes} min, until {deadline}"',
        "canary: 2",
        "canary_names: [a, b]",
        "min_available: ~",
    )
    path.write_text(HEAD + more + intranet(allocation="172.16.100.5 - 172.16.100.5"), encoding="utf-8")
    definition = load_pool(path)
    assert definition.roll.notify_text.format(minutes=5, deadline="6:00") == "{soon}: 5 min, until 6:00"
    assert definition.intranet is not None
    assert definition.intranet.first_and_last == ("172.16.100.5", "172.16.100.5")
