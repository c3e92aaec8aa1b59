"""Which class a label of the user's data means: told by class folders, file names or a table, and never guessed in
silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ...errors import BadInput
from ...types import Signature
from ..parts import Item, Settled
from .label_scores import ClassFacts, check_items

SHOWN = 8
_ORDER = "give --set labels=FILE with the names in the order of the model's outputs"


def class_folders(data: Path, tables: Sequence[str], is_item: Callable[[Path], bool]) -> list[str]:
    """Names of the sub-folders that label what lies in them, sorted as text (the order of torchvision's ImageFolder);
    none where labels come from elsewhere.

    Args:
        tables: suffixes of tables; a folder with one table is labelled by that.
        is_item: whether a path is a file that counts.
    """
    if not data.is_dir():
        return []
    listed = sorted(path for path in data.iterdir() if not path.name.startswith("."))
    if sum(path.suffix.lower() in tables for path in listed) == 1 or any(map(is_item, listed)):
        return []
    return [path.name for path in listed if path.is_dir() and any(map(is_item, path.rglob("*")))]


def numbered(names: Sequence[str]) -> bool:
    """Whether folders are named after class numbers."""
    return all(name.isascii() and name.isdigit() and str(int(name)) == name for name in names)


def settle(
    folders: Sequence[str], items: Sequence[Item], facts: ClassFacts, model: Signature, *, from_names: bool = False
) -> Settled:
    """Items whose labels are classes of the model, the facts with the names of class folders where nobody gave names,
    and what was assumed of them.

    Args:
        folders: what `class_folders` found.
        items: labels are class numbers; of class folders without names of classes, the place of the folder.
        from_names: labels were read from file names.

    Raises:
        BadInput: a label is beyond the model's outputs, and the data says so itself.
    """
    classes, labels = model.outputs[0].shape[-1], facts.labels
    count = classes if isinstance(classes, int) else len(labels or folders)
    if count == 1:
        return Settled([_of_one(item, facts) for item in items], facts)
    if not folders:
        return _from_names(items, facts, count) if from_names else _checked(items, facts, model)
    if numbered(folders) and not (labels and set(folders) <= set(labels)):
        return _numbered(folders, _checked(items, facts, model), count)
    if labels is None:
        return _named(folders, items, facts, count)
    return _checked(items, facts, model, *_about_names(folders, labels))


def _of_one(item: Item, facts: ClassFacts) -> Item:
    """An item of a model with one output: its label is a number, and of a probability 0 or 1."""
    if item.label is None:
        return item
    if facts.activation != "none" and float(item.label) not in (0.0, 1.0):
        raise BadInput(
            f"{item.name} is labelled {item.label}, the model answers one probability",
            "give the labels 0 and 1; where it answers a number, set activation=none",
        )
    return Item(item.name, item.read, float(item.label))


def _checked(items: Sequence[Item], facts: ClassFacts, model: Signature, *warnings: str) -> Settled:
    check_items(items, model)
    return Settled(list(items), facts, ("labels",) if warnings else (), warnings)


def _from_names(items: Sequence[Item], facts: ClassFacts, count: int) -> Settled:
    labelled = [item for item in items if item.label is not None]
    if not labelled:
        return Settled(list(items), facts)
    if any(not 0 <= int(item.label) < count for item in labelled):  # numbers that count something else, such as photos
        return Settled(_unlabelled(items), facts)
    first = labelled[0]
    if not Path(first.name).stem.rpartition("_")[2].isdigit():  # names of classes
        return Settled(list(items), facts)
    said = (
        f"labels are read from file names: {Path(first.name).name} counts as class {first.label}; if the number means "
        "something else, give a CSV file with the columns file,label"
    )
    return Settled(list(items), facts, ("labels",), (said,))


def _numbered(folders: Sequence[str], settled: Settled, count: int) -> Settled:
    said = [f"class folders are numbered: folder {folders[-1]} counts as class {int(folders[-1])}"]
    if [int(name) for name in folders] != list(range(len(folders))):
        said[0] += f"; torchvision's ImageFolder sorts names as text and would make it class {len(folders) - 1}"
    return settled._replace(assumed=("labels",), warnings=(*said, *_missing([str(i) for i in range(count)], folders)))


def _named(folders: Sequence[str], items: Sequence[Item], facts: ClassFacts, count: int) -> Settled:
    if len(folders) != count:
        said = (
            f"the data has {len(folders)} class folders ({_shown(folders)}), the model answers {count}: which class is "
            f"whose cannot be told, so the items count as unlabelled; {_ORDER}"
        )
        return Settled(_unlabelled(items), facts, ("labels",), (said,))
    said = (
        "classes are named after the class folders in the order of torchvision's ImageFolder "
        f"({_shown([f'{i} {name}' for i, name in enumerate(folders)])}); if the model was trained with another, "
        f"{_ORDER}"
    )
    return Settled(list(items), _renamed(facts, folders), ("labels",), (said,))


def _renamed(facts: Any, folders: Sequence[str]) -> Any:
    return replace(facts, labels=tuple(folders))


def _about_names(folders: Sequence[str], labels: Sequence[str]) -> list[str]:
    if not set(folders) <= set(labels):
        return [
            f"no class is called '{next(name for name in folders if name not in labels)}': class folders are matched "
            f"to labels by their order, {folders[0]} to '{labels[0]}'; {_ORDER}"
        ]
    if set(folders) == set(labels) and list(labels) != sorted(labels):
        return [
            f"labels are in another order than torchvision's ImageFolder gives the class folders ({_shown(folders)}): "
            "right only where the model was trained so"
        ]
    return _missing(labels, folders)


def _missing(labels: Sequence[str], folders: Sequence[str]) -> list[str]:
    absent = [name for name in labels if name not in folders]
    return (
        [
            f"no class folder for {len(absent)} of the model's {len(labels)} classes ({_shown(absent)}): accuracy "
            "says nothing of them"
        ]
        if absent
        else []
    )


def _unlabelled(items: Sequence[Item]) -> list[Item]:
    return [Item(item.name, item.read) for item in items]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
