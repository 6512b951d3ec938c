"""What quantising and compiling a model costs, on images with truth.

One table: the float graph, int8.onnx on the CPU and what the HTP runs, on the same
images: average precision and recall of each class, and how near each comes to the
float graph (see :mod:`windhover_evaluation.fidelity.agreement`). Each image goes through each
of them once, as an emulator takes seconds for it; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError
from windhover.files import write_atomic, write_json
from windhover.inference import BACKENDS, open_backend
from windhover.inference.base import Backend
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.soc import where_it_runs
from windhover.machine import machine_facts
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.types import Detections, Frame
from windhover_evaluation.detection.cached_backend import CachedBackend
from windhover_evaluation.detection.frames import MissingCameraCounter, read_truth_picture
from windhover_evaluation.detection.model_evaluation import Progress, evaluation_thresholds
from windhover_evaluation.detection.scores import DetectionScores, Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.fidelity.agreement import Fidelity, compare_backends
from windhover_evaluation.report.metrics import detection_metrics

FORMAT = "windhover-fidelity/1"
REFERENCE = "float"

#: What can be compared: name, backend, its options, its file.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    REFERENCE: ("cpu", {"precision": "float"}, "float.onnx"),
    "cpu": ("cpu", {"precision": "int8"}, "int8.onnx"),
    "qnn": ("qnn", {}, "int8.onnx"),
    "dlc": ("dlc", {}, "int8.dlc"),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table.

    Attributes:
        name: of :data:`VARIANTS`.
        runs_on: hardware or emulator, and the file, in words.
        scores: against the truth.
        fidelity: against the float graph; ``None`` for that one itself.
    """

    name: str
    runs_on: str
    scores: DetectionScores
    fidelity: Fidelity | None

    @property
    def title(self) -> str:
        """File and hardware in short; an emulator is called one."""
        backend, _, file = VARIANTS[self.name]
        return f"{file}, {where_it_runs() if BACKENDS[backend].on_htp else 'CPU'}"

    @property
    def least_sqnr_db(self) -> float | None:
        """Of the output that is furthest from the float graph's, of those with something in."""
        if self.fidelity is None:
            return None
        return min(
            (db for db in self.fidelity.sqnr_db.values() if not math.isnan(db)), default=math.nan
        )


def variant_names(text: str) -> tuple[str, ...]:
    """The variants that a list such as ``cpu,dlc`` names; the reference comes first.

    Raises:
        ConfigError: there is no such variant.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in VARIANTS]
    others = dict.fromkeys(name for name in names if name != REFERENCE)
    if unknown or not others:
        raise ConfigError(
            f"{text!r} names nothing to compare with the float graph; use some of "
            f"{', '.join(name for name in VARIANTS if name != REFERENCE)}"
        )
    return (REFERENCE, *others)


def spread(truth: Truth, count: int) -> Truth:
    """The truth of ``count`` images, evenly from first to last, or of all if there are fewer.

    Raises:
        ConfigError: ``count`` is below 1.
    """
    if count < 1:
        raise ConfigError(f"{count} images can't be scored; use 1 or more")
    total = len(truth.images)
    rows = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
    return truth.of_images(rows.tolist())


def evaluate_fidelity(
    bundle: Bundle,
    truth: Truth,
    images_dir: str | Path,
    names: Sequence[str],
    out_dir: str | Path,
    progress: Progress | None = None,
) -> list[Variant]:
    """Score variants of a bundle's graph on the same images.

    Writes ``fidelity.json`` and ``fidelity.md``, the table as Markdown and a sentence for a
    camera that was missing, and keeps in ``outputs/`` what the HTP gave for each image,
    which is not run again.

    Args:
        bundle: with float.onnx and what the variants need.
        truth: in the bundle's labels.
        images_dir: its images' folder.
        names: as :func:`variant_names` gives them.
        out_dir: where the files go.
        progress: is told of each image.

    Returns:
        In the order of ``names``.

    Raises:
        BackendError: a variant can't be opened, or a run failed.
        SourceError: an image can't be read.
        DataError: a pair is not of one size, or the files can't be written.
    """
    truth.require_objects()
    with ExitStack() as opened:
        keepers = {}
        for name in names:
            keepers[name] = _Keeper(_open(bundle, name, Path(out_dir)))
            opened.callback(keepers[name].close)
        found: dict[str, list[tuple[int, Detections]]] = {name: [] for name in names}
        lacking = MissingCameraCounter(bundle.channels)
        frames = _frames(bundle, truth, Path(images_dir), keepers, found, lacking, progress)
        others = {name: keeper for name, keeper in keepers.items() if name != REFERENCE}
        near = compare_backends(bundle, keepers[REFERENCE], others, frames)
        devices = {name: keeper.device for name, keeper in keepers.items()}
    limits = dict(zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True))
    variants = [
        Variant(
            name,
            devices[name],
            evaluate_detections(truth, Predictions.collect(found[name]), limits),
            near.get(name),
        )
        for name in names
    ]
    _write(Path(out_dir), bundle, truth, variants, lacking.warnings(len(truth.images)))
    return variants


def _open(bundle: Bundle, name: str, out: Path) -> Backend:
    """A variant's backend; what the HTP gives is kept, as its emulator takes seconds a frame."""
    backend, options, file = VARIANTS[name]
    opened = open_backend(bundle, backend, **options)
    if not BACKENDS[backend].on_htp:
        return opened
    known = (spec.sha256 for spec in bundle.files.values() if spec.path == file)
    digest = next(known, bundle.digest)
    key = f"{name}-{digest[:16]}-qnn{load_libraries().version}-{platform.machine()}"
    return CachedBackend(opened, out / "outputs" / key)


class _Keeper:
    """A backend whose last outputs can be decoded again, with other thresholds."""

    def __init__(self, inner: Backend) -> None:
        self.name, self.device = inner.name, inner.device
        self._inner = inner
        self.last: Sequence[NDArray[np.generic]] = ()

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        self.last = self._inner.run(image)
        return self.last

    def close(self) -> None:
        self._inner.close()


class _Replay:
    """Gives what a keeper last gave, whatever the image."""

    def __init__(self, keeper: _Keeper) -> None:
        self.name, self.device = keeper.name, keeper.device
        self._keeper = keeper

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        del image  # the keeper has seen it
        return self._keeper.last

    def close(self) -> None:
        """The keeper is closed by whoever opened it."""


def _frames(
    bundle: Bundle,
    truth: Truth,
    folder: Path,
    keepers: Mapping[str, _Keeper],
    found: Mapping[str, list[tuple[int, Detections]]],
    lacking: MissingCameraCounter,
    progress: Progress | None,
) -> Iterator[Frame]:
    low = evaluation_thresholds(bundle)
    detectors = {
        name: Detector(bundle, _Replay(keeper), thresholds=low) for name, keeper in keepers.items()
    }
    for row in range(len(truth.images)):
        cameras = read_truth_picture(truth, row, folder, bundle.channels)
        lacking.note(cameras)
        frame = cameras.frame(bundle.channels, row)
        yield frame
        # Asked for the next one: every variant has seen this one, at the bundle's
        # thresholds. For AP its outputs are decoded again with nearly none.
        for name, detector in detectors.items():
            found[name].append((row, detector.detect(frame)))
        if progress is not None:
            progress(row + 1, len(truth.images))


def table(variants: Sequence[Variant]) -> list[list[str]]:
    """The table as cells, the heading first; scores in percent."""
    labels = [each.label for each in variants[0].scores.classes]
    heading = ["", "mAP50", *(f"{label} AP50 / recall" for label in labels)]
    heading += ["same boxes", "their IoU", "least SQNR dB"]
    return [heading, *(_row(variant, variants[0]) for variant in variants)]


def _row(variant: Variant, reference: Variant) -> list[str]:
    scores, near = variant.scores, variant.fidelity
    loss = f" ({100 * (scores.map50 - reference.scores.map50):+.1f})" if near else ""
    cells = [variant.title, f"{100 * scores.map50:.1f}{loss}"]
    cells += [
        f"{100 * each.ap50:.1f} / {100 * each.at_threshold.recall:.1f}" if each.truths else "-"
        for each in scores.classes
    ]
    if near is None:
        return [*cells, "", "", ""]
    return [
        *cells,
        f"{near.matched} of {near.reference_count}",
        f"{near.mean_iou:.3f}",
        f"{variant.least_sqnr_db:.1f}",
    ]


def _write(
    out: Path,
    bundle: Bundle,
    truth: Truth,
    variants: Sequence[Variant],
    warnings: Sequence[str],
) -> None:
    heading, *rows = table(variants)
    lines = [heading, ["---"] * len(heading), *rows]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    text += "".join(f"\n{warning}\n" for warning in warnings)
    write_atomic(out / "fidelity.md", text)
    write_json(
        out / "fidelity.json",
        {
            "format": FORMAT,
            "run": {
                "model": f"{bundle.name} {bundle.version}",
                "digest": bundle.digest,
                "truth": truth.path,
                "images": len(truth.images),
                **machine_facts(),
            },
            "variants": {
                each.name: {
                    "runs_on": each.runs_on,
                    "detection": detection_metrics(each.scores),
                    "against_float": asdict(each.fidelity) if each.fidelity else None,
                }
                for each in variants
            },
            "warnings": warnings,
        },
    )
