"""docs/pools.md lists every key of a pool file with its default and what it is for: as the models say, no more and no less."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from imagebuild.pool.definition import PoolDefinition, Rules
from imagebuild.pool.intranet import Intranet
from imagebuild.pool.pool_file import load_pool
from imagebuild.pool.window import Window

PROJECT = Path(__file__).resolve().parents[3]
PAGE = (PROJECT / "docs" / "pools.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "": PoolDefinition,
    "roll.": Rules,
    "roll.window.": Window,
    "intranet.": Intranet,
}
NESTED = {"broker": "[brokers.md](brokers.md)", "roll": "`roll.` below", "intranet": "`intranet.` below"}


def table(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """The rows as they must stand in the page."""
    filled = model.model_construct().model_dump(mode="json", exclude=set(NESTED), warnings=False)
    for name, field in model.model_fields.items():
        needed = field.default is PydanticUndefined and field.default_factory is None
        default = "needed" if needed else _words(filled.get(name))
        purpose = NESTED.get(name) if not prefix else None
        yield f"| `{prefix}{name}` | {'' if purpose else default} | {purpose or field.description or ''} |".replace(
            "  |", " |"
        )


def _words(value: Any) -> str:
    if value is None or value == [] or value == "":
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("prefix", "model"), SECTIONS.items())
def test_the_page_lists_every_key(prefix: str, model: type[BaseModel]) -> None:
    rows = list(table(prefix, model))
    assert [row for row in rows if row not in PAGE.splitlines()] == [], "\n".join(["docs/pools.md wants:", *rows])


def test_the_page_lists_no_other_key() -> None:
    reference = PAGE.split("## Every key")[1]
    told = [line.split("`")[1] for line in reference.splitlines() if line.startswith("| `")]
    assert told == [f"{prefix}{name}" for prefix, model in SECTIONS.items() for name in model.model_fields]


def test_the_page_s_example_is_a_pool(tmp_path: Path) -> None:
    example = PAGE.split("```yaml\n", 1)[1].split("```", 1)[0]
    path = tmp_path / "staff.yaml"
    path.write_text(example, encoding="utf-8")
    assert load_pool(path).size == 40
