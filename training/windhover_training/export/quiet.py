"""Gives a bundle the operating point ``quiet``: thresholds that let few false alarms through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from windhover.errors import ConfigError
from windhover.model import Bundle, write_bundle
from windhover.model.manifest import DEFAULT_POINT

from ..config import LabelledSplit
from ..evaluate.points import QUIET, quiet_scores, quiet_words
from ..evaluate.score import false_alarms
from .card import CARD_KEYS, write_card


def add_quiet(
    folder: Path,
    empty: Sequence[LabelledSplit],
    alarms: float,
    counted_on: tuple[Path, str] | None = None,
    version: str | None = None,
) -> Bundle:
    """Choose ``quiet`` on pictures without anything to find, and declare it in the bundle.

    The thresholds that the bundle has are its ``balanced``, and stay.

    Args:
        folder: bundle; changed.
        empty: sets with nothing to find of the labels that they name.
        alarms: share of their images in which anything may be found.
        counted_on: other pictures without anything to find, for the card.
        version: of the bundle from now on; None keeps it.

    Returns:
        The bundle, read back.

    Raises:
        BundleError: it is damaged.
        ConfigError: a set names a label that the bundle lacks.
        DataError: a set can't be read.
    """
    bundle = Bundle.load(folder)
    unknown = sorted({label for each in empty for label in each.labelled} - set(bundle.labels))
    if unknown:
        raise ConfigError(f"{bundle.name} has no label {', '.join(unknown)}")
    balanced = dict(zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True))
    quiet = quiet_scores(bundle, empty, alarms, balanced)
    manifest = bundle.model_dump(
        mode="json", by_alias=True, exclude={"files", "format"}, exclude_unset=True
    )
    manifest["version"] = version or bundle.version
    manifest["thresholds"]["per_class"] = balanced
    manifest["operating_points"] = {
        DEFAULT_POINT: balanced,
        QUIET: quiet,
    }
    before = str(bundle.provenance.get("thresholds", "not stated")).split(f"; {QUIET}:")[0]
    manifest["provenance"]["thresholds"] = f"{before}; {quiet_words(empty, alarms)}"
    bundle = write_bundle(folder, manifest)
    if counted_on is not None:
        counts = false_alarms(bundle, *counted_on)
        manifest["provenance"]["alarms"] = {point: list(each) for point, each in counts.items()}
        bundle = write_bundle(folder, manifest)
    if set(bundle.provenance) >= CARD_KEYS:
        write_card(bundle, folder / "README.md")
    return bundle
