"""Which visible image belongs to which thermal one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from windhover.sources.files import IMAGE_SUFFIXES, natural_key
from windhover_training.data.convert.summary import Summary

Pair = tuple[Path, Path]


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder in natural order (``9`` before ``10``); none if it is absent."""
    if not folder.is_dir():
        return []
    return natural_order(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths by their names in natural order."""
    return sorted(paths, key=lambda path: (natural_key(path.name), path.name))


def pair_images(
    rgb: Sequence[Path], thermal: Sequence[Path], flight: str, summary: Summary
) -> list[Pair]:
    """Pair two folders' images.

    The n-th visible image belongs to the n-th thermal one in natural order. One missing
    file would then shift all pairs behind it, so where the two sides share most of their
    names, it is the name that pairs, and what has no twin is left out.

    Args:
        rgb: visible images in natural order.
        thermal: thermal images in natural order.
        flight: for the summary.
        summary: receives the images without a twin.

    Returns:
        Pairs in natural order of the visible image.
    """
    names, twins = _by_stem(rgb), _by_stem(thermal)
    common = names.keys() & twins.keys()
    unique = len(names) == len(rgb) and len(twins) == len(thermal)
    if unique and 2 * len(common) > min(len(rgb), len(thermal)):
        for stem in sorted(names.keys() - common, key=natural_key):
            summary.add("dropped", "image: visible without a thermal twin", f"{flight}/{stem}")
        for stem in sorted(twins.keys() - common, key=natural_key):
            summary.add("dropped", "image: thermal without a visible twin", f"{flight}/{stem}")
        return [(path, twins[path.stem]) for path in rgb if path.stem in common]
    if len(rgb) == len(thermal):
        return list(zip(rgb, thermal, strict=True))
    item = f"{flight} ({len(rgb)} visible, {len(thermal)} thermal)"
    summary.add("dropped", "sequence: neither names nor numbers of images agree", item)
    return []


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    return {path.stem: path for path in paths}
