"""What holds for every key of every file: nobody is answered with a regular expression, and no switch is taken for a number."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from imagebuild.complaints import Number, Whole, causes, in_words, kinds
from imagebuild.pool.definition import PoolDefinition
from imagebuild.recipe_header import Header
from imagebuild.step import registered_steps


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and all that are in it."""
    yield root
    for field in root.model_fields.values():
        for kind in kinds(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from models(kind)


ALL = {one for root in (PoolDefinition, Header, *registered_steps().values()) for one in models(root)}


@pytest.mark.parametrize("model", sorted(ALL, key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_of_every_key(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert "pattern='" not in repr(field), f"{name}: use complaints.written"
        if {int, float} & set(kinds(field.annotation)):
            with pytest.raises(ValidationError):
                print(name, TypeAdapter(Annotated[field.annotation, Field(), *field.metadata]).validate_python(True))


def told(annotation: Any, given: Any) -> list[str]:
    """What is said of this value."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_python(given)
    return [in_words(item, given=given) for item in causes(caught.value.errors())]


@pytest.mark.parametrize(
    ("annotation", "given", "words"),
    [
        (Whole, "3%", "must be a whole number"),
        (Whole, True, "must be a number"),
        (Number, False, "must be a number"),
        (Annotated[Whole, Field(gt=2)], 2, "must be more than 2"),
        (Annotated[Whole, Field(le=65535)], 70000, "must be at most 65535"),
        (Annotated[Number, Field(ge=0.5)], 0.2, "must be at least 0.5"),
        (Annotated[Number, Field(lt=1)], 1.0, "must be less than 1"),
        (Annotated[tuple[Whole, ...], Field(min_length=1)], ["a", "b"], "must be a whole number"),
        (tuple[str, ...], "a b", "must be a list, also of one: [ONE, ANOTHER]"),
        (tuple[str, ...], None, "is empty: fill it in, or leave it out for the default"),
    ],
)
def test_words_for_a_person(annotation: Any, given: Any, words: str) -> None:
    assert set(told(annotation, given)) == {words}
