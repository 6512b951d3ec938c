"""Gives a bundle the operating point ``quiet``: thresholds that let few false alarms through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from windhover.errors import ConfigError
from windhover.model import Bundle, write_bundle
from windhover.model.manifest import DEFAULT_POINT

from ..config import LabelledSplit
from ..evaluate.points import QUIET, quiet_scores, quiet_words
from ..evaluate.score import false_alarms, limits_at, points_of
from ..export.card import CARD_KEYS, write_card
from .checklist import judge_alarms, replace_item


def add_quiet(
    folder: Path,
    empty: Sequence[LabelledSplit],
    alarms: float,
    counted_on: tuple[Path, str] | None = None,
    version: str | None = None,
    scores: Mapping[str, tuple[Path, str]] | None = None,
) -> Bundle:
    """Choose ``quiet`` on pictures without anything to find, and declare it in the bundle.

    The thresholds that the bundle has are its ``balanced``, and stay.

    Args:
        folder: bundle; changed.
        empty: sets with nothing to find of the labels that they name.
        alarms: share of their images in which anything may be found.
        counted_on: other pictures without anything to find, for the card.
        version: of the bundle from now on; None keeps it.
        scores: name of a set of the card -> folder and split, to count there what is found at
            both points. Of the others the card then says nothing of points.

    Returns:
        The bundle, read back.

    Raises:
        BundleError: it is damaged.
        ConfigError: a set names a label that the bundle lacks, or the card knows no set of a name.
        DataError: a set can't be read.
    """
    bundle = Bundle.load(folder)
    unknown = sorted({label for each in empty for label in each.labelled} - set(bundle.labels))
    if unknown:
        raise ConfigError(f"{bundle.name} has no label {', '.join(unknown)}")
    places, metrics = scores or {}, bundle.provenance.get("metrics", {})
    missing = sorted(places.keys() - metrics.keys())
    if missing:
        raise ConfigError(f"the card of {bundle.name} has no scores of {', '.join(missing)}")
    balanced = limits_at(bundle, DEFAULT_POINT)
    quiet = quiet_scores(bundle, empty, alarms, balanced)
    manifest = bundle.model_dump(
        mode="json", by_alias=True, exclude={"files", "format"}, exclude_unset=True
    )
    metrics = manifest["provenance"].get("metrics", {})
    manifest["version"] = version or bundle.version
    manifest["thresholds"]["per_class"] = balanced
    manifest["operating_points"] = {DEFAULT_POINT: balanced, QUIET: quiet}
    before = str(bundle.provenance.get("thresholds", "not stated")).split(f"; {QUIET}:")[0]
    manifest["provenance"]["thresholds"] = f"{before}; {quiet_words(empty, alarms)}"
    bundle = write_bundle(folder, manifest)
    for name, known in metrics.items():
        known["int8"].pop("points", None)  # of the thresholds before
        if name in places:
            labels = list(known["int8"]["all"])
            known["int8"]["points"] = points_of(bundle, *places[name], labels)
    if counted_on is not None:
        counts = false_alarms(bundle, *counted_on)
        manifest["provenance"]["alarms"] = {point: list(each) for point, each in counts.items()}
        if "checklist" in manifest["provenance"]:
            judged = replace_item(manifest["provenance"]["checklist"], judge_alarms(counts))
            manifest["provenance"]["checklist"] = judged
    bundle = write_bundle(folder, manifest)
    if set(bundle.provenance) >= CARD_KEYS:
        write_card(bundle, folder / "README.md")
    return bundle
