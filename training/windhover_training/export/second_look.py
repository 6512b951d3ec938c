"""Puts a second graph into a released bundle: the detector then looks twice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import ConfigError, DataError
from windhover.model import Bundle, write_bundle
from windhover.model.bundle import MANIFEST_NAME, file_sha256
from windhover.model.detector import Detector
from windhover.types import Frame
from windhover_training.data.readers.pictures import Picture, Reader, load_pictures

from .card import CARD_KEYS, write_card

FOLDER = "second_look"


@dataclass(frozen=True, slots=True)
class LookScore:
    """What one look at a person is worth, at the bundle's thresholds.

    Attributes:
        find_rate: share of chips with something to find in which something is found.
        false_rate: share of chips without anything to find in which something is found.
        armed: chips with something to find.
        unarmed: chips without.
    """

    find_rate: float
    false_rate: float
    armed: int
    unarmed: int


def score_looks(second: Bundle, root: Path, split: str) -> LookScore:
    """Look at every chip of a split once, with int8.onnx on the CPU.

    A chip whose only objects are ignored, as pistols are, counts as neither.

    Raises:
        DataError: the split is missing, or lacks chips of one kind.
    """
    chips = load_pictures(root, [split], 3, list(second.labels), may_be_empty=True)
    read = Reader(3, keep=1)
    hits: dict[bool, list[bool]] = {True: [], False: []}
    with Detector(second, "cpu") as detector:
        for chip in chips:
            judged = _judged(chip)
            if judged is not None:
                found = detector.detect(Frame(read(chip), "bgr8", 0))
                hits[judged].append(len(found) > 0)
    if not hits[True] or not hits[False]:
        raise DataError(f"{root}: {split} holds no chips with, or none without, a weapon")
    return LookScore(
        float(np.mean(hits[True])), float(np.mean(hits[False])), len(hits[True]), len(hits[False])
    )


def _judged(chip: Picture) -> bool | None:
    """Whether there is something to find; ``None`` where that is ignored."""
    if not len(chip.classes):
        return False
    return True if bool((chip.classes >= 0).any()) else None


def keep_second_look(source: Path, out: Path) -> dict[str, Any] | None:
    """Copy a bundle's second look, if it has one, into another one as it is.

    Args:
        source: folder of the bundle that has it.
        out: folder of the other; the graph must not be there yet.

    Returns:
        What the other's manifest says under ``second_look``.

    Raises:
        BundleError: the bundle or its second look is damaged.
    """
    bundle = Bundle.load(source)
    second = bundle.load_second_look()
    if second is None or bundle.second_look is None:
        return None
    shutil.copytree(second.root, out / bundle.second_look.bundle)
    return bundle.second_look.model_dump(mode="json")


def attach_second_look(
    parent: Path, second: Path, span_m: float, look_at: Sequence[str], score: LookScore
) -> Bundle:
    """Copy a bundle of chips into another and declare it there, and in its card.

    Args:
        parent: bundle that finds people; changed.
        second: bundle on square RGB chips.
        span_m: side of a chip, metres.
        look_at: labels of the parent that chips are cut around.
        score: what a look is worth.

    Returns:
        The parent, read back.

    Raises:
        BundleError: one of them is damaged.
        ConfigError: the second takes no square RGB chips, or finds what the parent has no
            label for.
    """
    first, chips = Bundle.load(parent), Bundle.load(second)
    unknown = sorted(set(chips.labels) - set(first.labels))
    if unknown:
        raise ConfigError(f"{first.name} has no label {', '.join(unknown)}")
    if chips.modality != "rgb" or chips.input.height != chips.input.width:
        raise ConfigError(f"{second} takes {chips.modality} images that are no square chips")
    shutil.rmtree(parent / FOLDER, ignore_errors=True)
    shutil.copytree(second, parent / FOLDER)
    manifest = first.model_dump(mode="json", by_alias=True, exclude={"files", "format"})
    manifest["second_look"] = {
        "bundle": FOLDER,
        "sha256": file_sha256(parent / FOLDER / MANIFEST_NAME),
        "span_m": span_m,
        "look_at": list(look_at),
        # Rates of 0 and 1 are not believed of any finite number of chips.
        "find_rate": round(float(np.clip(score.find_rate, 0.01, 0.99)), 4),
        "false_rate": round(float(np.clip(score.false_rate, 0.001, 0.99)), 4),
    }
    bundle = write_bundle(parent, manifest)
    if set(bundle.provenance) >= CARD_KEYS:
        write_card(bundle, parent / "README.md")
    return bundle
