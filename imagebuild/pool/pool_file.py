"""Pool files by name: `recipes/pools/NAME.yaml` becomes a PoolDefinition, or a list of everything that is wrong with it."""

from pathlib import Path

from imagebuild.checked_yaml import Problem, file_names, find_file, read_document, validated
from imagebuild.pool.definition import PoolDefinition


def pool_names(folder: Path) -> tuple[str, ...]:
    """The pools of a folder by name."""
    return file_names(folder)


def find_pool(name: str, *, folder: Path) -> Path:
    """The file of a pool: a name in the folder, or a path. Raises RecipeError with the nearest names."""
    return find_file(name, folder=folder, kind="pool")


def load_pool(path: Path) -> PoolDefinition:
    """Read and check a pool file. Raises RecipeError whose `details` name every problem as FILE:LINE: PATH: what, what to do."""
    document = read_document(path, kind="pool")
    problems = list(document.problems)
    definition = validated(PoolDefinition, document.content, (), problems)
    if definition is not None and definition.pool != path.stem:
        # a copied file would take the other pool's desktops in hand: membership goes by this name
        words = f"is {definition.pool!r}, but the file is called {path.name}: make them the same"
        problems.append(Problem(("pool",), words))
    if problems or definition is None:
        raise document.refusal(problems)
    return definition
