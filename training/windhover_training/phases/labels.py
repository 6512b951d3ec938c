"""Whether a set labels what a model is to learn: a label that it lacks would be background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from windhover.errors import DataError
from windhover_training.data.readers.pictures import read_truth


def check_labels(
    root: Path, splits: Sequence[str], labels: Sequence[str], unlabelled: Sequence[str] = ()
) -> None:
    """Refuse a set that does not know a label.

    Args:
        root: converted or rendered set.
        splits: of it.
        labels: of the model.
        unlabelled: those that the set need not know.

    Raises:
        DataError: it does not know one.
    """
    for path, names in _categories(root, splits):
        missing = [x for x in labels if x not in names.values() and x not in unlabelled]
        if missing:
            raise DataError(
                f"{path}: has no category {', '.join(missing)}; where its pictures show such "
                f"objects name them under 'unlabelled', else take them out of 'labels'"
            )


def check_numbers(
    root: Path, splits: Sequence[str], labels: Sequence[str], unlabelled: Sequence[str] = ()
) -> None:
    """The same of a set whose category ids are taken for the model's classes as they are.

    Raises:
        DataError: it lacks a label, has another, or numbers them otherwise.
    """
    check_labels(root, splits, labels, unlabelled)
    for path, names in _categories(root, splits):
        wrong = [f"{number} {name}" for number, name in names.items()
                 if not 0 <= number < len(labels) or labels[number] != name]  # fmt: skip
        if wrong:
            raise DataError(
                f"{path}: its categories {', '.join(wrong)} are not numbered as 'labels' "
                f"({', '.join(labels)}) are; give the labels in the set's order"
            )


def _categories(root: Path, splits: Sequence[str]) -> Iterator[tuple[Path, Mapping[int, str]]]:
    for split in splits:
        path = root / "truth" / f"{split}.json"
        found = read_truth(path).get("categories", [])
        yield path, {int(each["id"]): str(each["name"]) for each in found}
