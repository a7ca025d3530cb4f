"""What a script's answers look like, learnt from real ones: which keys an object may and must have, which JSON types a value may be."""

from __future__ import annotations

from typing import Any


class Shape:
    """The union of everything seen at one place of an answer."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.objects = 0
        self.keys: dict[str, tuple[int, Shape]] = {}
        self.item: Shape | None = None

    def learn(self, value: Any) -> None:
        self.types.add(kind_of(value))
        if isinstance(value, dict):
            self.objects += 1
            for key, inner in value.items():
                count, shape = self.keys.get(key, (0, Shape()))
                shape.learn(inner)
                self.keys[key] = (count + 1, shape)
        for inner in value if isinstance(value, list) else ():
            self.item = self.item or Shape()
            self.item.learn(inner)

    def complaints(self, value: Any, where: str, free: tuple[str, ...]) -> list[str]:
        """Where a value does not fit. Below the places `free`, keys are data or the examples show too little; a place that ends in
        a dot frees only what is one level below it, and only the types."""
        if where in free:
            return []
        if where[: where.rfind(".") + 1] in free and not isinstance(value, dict | list):
            return []
        if kind_of(value) not in self.types:
            return [f"{where}: {kind_of(value)} instead of {'/'.join(sorted(self.types))}"]
        found: list[str] = []
        if isinstance(value, dict):
            always = {key for key, (count, _) in self.keys.items() if count == self.objects}
            found += [f"{where}: without {key}" for key in sorted(always - value.keys())]
            for key, inner in value.items():
                known = self.keys.get(key)
                found += (
                    [f"{where}: with {key}"] if known is None else known[1].complaints(inner, f"{where}.{key}", free)
                )
        if isinstance(value, list) and value and self.item is None:
            found.append(f"{where}: no example has an item here")
        for inner in value if isinstance(value, list) and self.item is not None else ():
            found += self.item.complaints(inner, f"{where}[]", free) if self.item else []
        return found


def kind_of(value: Any) -> str:
    """JSON's type of a value; whole numbers are told from others."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    return {int: "int", float: "float", str: "string", list: "list", dict: "object"}[type(value)]
