"""What quantising and compiling a model costs, on images with truth.

One table of the float graph, int8.onnx on the CPU and the graph on the HTP, over the same
images: average precision and recall of each class, and how close each is to the float
graph (see :mod:`windhover_evaluation.fidelity.agreement`). Each image goes through each
graph once, as an emulator takes seconds for it; an interrupted run resumes.
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
from windhover.sources.palette import Palette
from windhover.types import Detections, Frame
from windhover_evaluation.detection.cached_backend import CachedBackend
from windhover_evaluation.detection.frames import MissingCameraCounter, read_truth_picture
from windhover_evaluation.detection.model_evaluation import Progress, evaluation_thresholds
from windhover_evaluation.detection.scores import DetectionScores, Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.fidelity.agreement import Fidelity, compare_backends
from windhover_evaluation.report.metrics import detection_metrics
from windhover_evaluation.report.tables import markdown_table

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
        runs_on: name of the hardware or emulator.
        scores: against the truth.
        fidelity: against the float graph; ``None`` for that one itself.
    """

    name: str
    runs_on: str
    scores: DetectionScores
    fidelity: Fidelity | None

    @property
    def title(self) -> str:
        """File and hardware in short, such as ``int8.dlc, HTP emulator on x86_64``."""
        backend, _, file = VARIANTS[self.name]
        return f"{file}, {where_it_runs() if BACKENDS[backend].on_htp else 'CPU'}"

    @property
    def min_sqnr_db(self) -> float | None:
        """Lowest SQNR of all outputs that have cells to compare, dB."""
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
            f"{text!r} names no graph to compare with the float graph; use some of "
            f"{', '.join(name for name in VARIANTS if name != REFERENCE)}"
        )
    return (REFERENCE, *others)


def sample_images(truth: Truth, count: int) -> Truth:
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
    palette: Palette = "auto",
) -> list[Variant]:
    """Score variants of a bundle's graph on the same images.

    Writes ``fidelity.json`` and ``fidelity.md``, the table as Markdown and a warning for a
    missing camera, and keeps the HTP's outputs for each image in ``outputs/``, which a later
    run uses.

    Args:
        bundle: with float.onnx and the variants' files.
        truth: in the bundle's labels.
        images_dir: its images' folder.
        names: as :func:`variant_names` gives them.
        out_dir: where the files go.
        progress: called after each image.
        palette: what thermal pictures without counts are in.

    Returns:
        In the order of ``names``.

    Raises:
        BackendError: a variant can't be opened, or a run failed.
        SourceError: an image can't be read.
        DataError: the truth holds nothing to score, an image has another size than the
            truth gives, a pair is not of one size, or the files can't be written.
    """
    truth.require_objects()
    with ExitStack() as opened:
        recorders = {}
        for name in names:
            recorders[name] = _OutputRecorder(_open(bundle, name, Path(out_dir)))
            opened.callback(recorders[name].close)
        found: dict[str, list[tuple[int, Detections]]] = {name: [] for name in names}
        missing = MissingCameraCounter(bundle.modality)
        folder = Path(images_dir)
        frames = _frames(bundle, truth, folder, recorders, found, missing, progress, palette)
        others = {name: recorder for name, recorder in recorders.items() if name != REFERENCE}
        fidelities = compare_backends(bundle, recorders[REFERENCE], others, frames)
        devices = {name: recorder.device for name, recorder in recorders.items()}
    limits = dict(zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True))
    variants = [
        Variant(
            name,
            devices[name],
            evaluate_detections(truth, Predictions.collect(found[name]), limits),
            fidelities.get(name),
        )
        for name in names
    ]
    _write(Path(out_dir), bundle, truth, variants, missing.warnings(len(truth.images)))
    return variants


def _open(bundle: Bundle, name: str, out: Path) -> Backend:
    """A variant's backend, with a cache where it is the HTP: its emulator takes seconds a frame."""
    backend, options, file = VARIANTS[name]
    opened = open_backend(bundle, backend, **options)
    if not BACKENDS[backend].on_htp:
        return opened
    known = (spec.sha256 for spec in bundle.files.values() if spec.path == file)
    digest = next(known, bundle.digest)
    key = f"{name}-{digest[:16]}-qnn{load_libraries().version}-{platform.machine()}"
    return CachedBackend(opened, out / "outputs" / key)


class _OutputRecorder:
    """A backend that keeps its last outputs, to be decoded again with other thresholds."""

    def __init__(self, inner: Backend) -> None:
        self.name, self.device = inner.name, inner.device
        self._inner = inner
        self.last: Sequence[NDArray[np.generic]] = ()

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        self.last = self._inner.run(image)
        return self.last

    def close(self) -> None:
        self._inner.close()


class _OutputReplayer:
    """A backend that returns a recorder's last outputs, whatever the image."""

    def __init__(self, recorder: _OutputRecorder) -> None:
        self.name, self.device = recorder.name, recorder.device
        self._recorder = recorder

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        del image  # the recorder ran it
        return self._recorder.last

    def close(self) -> None:
        """Leave the recorder open: its owner closes it."""


def _frames(
    bundle: Bundle,
    truth: Truth,
    folder: Path,
    recorders: Mapping[str, _OutputRecorder],
    found: Mapping[str, list[tuple[int, Detections]]],
    missing: MissingCameraCounter,
    progress: Progress | None,
    palette: Palette,
) -> Iterator[Frame]:
    low = evaluation_thresholds(bundle)
    detectors = {
        name: Detector(bundle, _OutputReplayer(recorder), thresholds=low)
        for name, recorder in recorders.items()
    }
    for row in range(len(truth.images)):
        cameras = read_truth_picture(truth, row, folder, bundle.modality, palette=palette)
        missing.note(cameras)
        frame = cameras.frame(bundle.modality, row)
        yield frame
        # The next frame is requested once every variant ran this one, at the bundle's
        # thresholds. For AP the outputs are decoded again with nearly none.
        for name, detector in detectors.items():
            found[name].append((row, detector.detect(frame)))
        if progress is not None:
            progress(row + 1, len(truth.images))


def fidelity_table(variants: Sequence[Variant]) -> list[list[str]]:
    """The table as cells, the heading first; scores in percent."""
    labels = [each.label for each in variants[0].scores.classes]
    heading = ["", "mAP50", *(f"{label} AP50 / recall" for label in labels)]
    heading += ["same boxes", "their IoU", "lowest SQNR dB"]
    return [heading, *(_row(variant, variants[0]) for variant in variants)]


def _row(variant: Variant, reference: Variant) -> list[str]:
    scores, fidelity = variant.scores, variant.fidelity
    loss = f" ({100 * (scores.map50 - reference.scores.map50):+.1f})" if fidelity else ""
    cells = [variant.title, f"{100 * scores.map50:.1f}{loss}"]
    cells += [
        f"{100 * each.ap50:.1f} / {100 * each.at_threshold.recall:.1f}" if each.truths else "-"
        for each in scores.classes
    ]
    if fidelity is None:
        return [*cells, "", "", ""]
    return [
        *cells,
        f"{fidelity.matched} of {fidelity.reference_count}",
        f"{fidelity.mean_iou:.3f}",
        f"{variant.min_sqnr_db:.1f}",
    ]


def _write(
    out: Path,
    bundle: Bundle,
    truth: Truth,
    variants: Sequence[Variant],
    warnings: Sequence[str],
) -> None:
    heading, *rows = fidelity_table(variants)
    text = markdown_table(heading, rows)
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
