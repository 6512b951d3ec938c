"""Makes a bundle of a detector that was trained elsewhere: ``windhover-train import``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from windhover.errors import ConfigError, DataError, EncodingError, SourceError
from windhover.imaging.formats import Modality
from windhover.inference import open_backend
from windhover.inference.build import build_htp_files
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.soc import where_it_runs
from windhover.model import Bundle
from windhover.model.manifest import CHANNEL_COUNT, REG_MAX
from windhover.types import Frame
from windhover_evaluation.fidelity.agreement import Fidelity, compare_backends
from windhover_training.data.readers.pictures import KINDS, read_files

from ..config import QuantisationConfig
from ..evaluate.score import score
from .bundle import ExportedGraphs, letterboxed, write
from .card import CARD_KEYS, write_card
from .graph import finish_float, shape_of
from .quantise import output_quantisation, quantise
from .ultralytics_model import read_ultralytics

#: Ultralytics' own defaults.
SCORE, IOU = 0.25, 0.7
#: Below this the INT8 graph is another model: share of the float graph's detections kept.
LEAST_KEPT = 0.8
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_ENCODINGS: Mapping[Modality, str] = {"thermal": "mono8", "rgb": "bgr8", "rgbt": "8UC4"}
_TOOLS = ("torch", "ultralytics", "onnx", "onnxruntime", "onnxslim")

Say = Callable[[str], None]


@dataclass(frozen=True)
class ImportSettings:
    """What to make of which file.

    Attributes:
        model: ``.pt`` or ``.onnx``.
        name: of the bundle.
        version: of the bundle.
        labels: as :func:`..export.ultralytics_model.read_ultralytics` takes them.
        size: height and width of the input; None for the file's own.
        pictures: folders of pictures that the ranges of the INT8 graph are chosen on, from
            where the model will be used.
        images: of them, evenly from all.
        compared: pictures that go through float, INT8 and the HTP, which takes seconds each
            on the emulator.
        iou: boxes of one class that overlap more than this are one object.
        soc: chip to compile for.
        scores: name of a set -> converted set and split that the bundle is scored on.
        provenance: of the card; anything that it lacks is filled in from the file.
    """

    model: Path
    name: str
    pictures: Sequence[Path]
    version: str = "1"
    labels: Sequence[str] = ()
    size: tuple[int, int] | None = None
    images: int = 64
    compared: int = 8
    iou: float = IOU
    soc: str = "qcs8550"
    scores: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Identity:
    """What the manifest takes from a config."""

    name: str
    version: str
    height: int
    width: int


@dataclass(frozen=True)
class ImportReport:
    """What became of a model.

    Attributes:
        bundle: as written.
        fidelity: file and hardware -> how near its detections come to the float graph's.
    """

    bundle: Bundle
    fidelity: Mapping[str, Fidelity]

    @property
    def warnings(self) -> list[str]:
        """Lines on graphs that find too little of what the float graph finds."""
        return [
            f"{name} keeps {near.matched} of {near.reference_count} detections of float.onnx; "
            "give more pictures with --calibration, from where it will be used"
            for name, near in self.fidelity.items()
            if near.matched < LEAST_KEPT * near.reference_count
        ]


def import_model(settings: ImportSettings, out: Path, say: Say = lambda _: None) -> ImportReport:
    """Cut, quantise, compile, compare, score and describe.

    Args:
        settings: what to make of which file.
        out: bundle folder; it exists.
        say: receives a line for each step.

    Raises:
        BackendError: an op does not run on the HTP; names it.
        ConfigError: the model or the settings do not suit.
        DataError: the file, the pictures or a set can't be read.
    """
    files = _pictures_in(settings.pictures)
    say("reading the model")
    model = read_ultralytics(settings.model, settings.labels, settings.size)
    _, count, height, width = shape_of(model.core.graph.input[0])
    reg_max = shape_of(model.core.graph.output[0])[1] // 4
    if reg_max not in REG_MAX.values():
        raise ConfigError(f"{settings.model}: has {reg_max} distance bins a side, not 16 or 1")
    channels = KINDS[count]
    chosen = _spread(files, settings.images)
    say(f"quantising on {len(chosen)} of {sum(map(len, files))} pictures")
    images = (letterboxed(frame, channels, (height, width)) for frame in _frames(chosen, channels))
    quantised = quantise(model.core, images, QuantisationConfig(data=[], images=len(chosen)))
    onnx.save(finish_float(model.core), out / "float.onnx")
    onnx.save(quantised, out / "int8.onnx")
    say("compiling for the HTP")
    build_htp_files(out, settings.soc)
    identity = _Identity(settings.name, settings.version, height, width)
    exported = ExportedGraphs(model.labels, channels, output_quantisation(quantised), reg_max)
    thresholds = {"score": SCORE, "iou": settings.iou, "max_detections": 300, "per_class": {}}
    bundle = write(identity, out, exported, thresholds, {})
    seen = _spread(files, settings.compared)
    say(f"comparing float, INT8 and HTP on {len(seen)} pictures")
    fidelity = compare(bundle, list(_frames(seen, channels)))
    metrics = {
        name: {p: score(bundle, p, root, split) for p in ("float", "int8")}
        for name, (root, split) in settings.scores.items()
    }
    provenance = {
        **_described(model.origin, len(chosen)),
        **settings.provenance,
        "imported_from": model.origin,
        "metrics": metrics,
        "agreement": {name: asdict(near) for name, near in fidelity.items()},
        "tools": {
            **{name: importlib.metadata.version(name) for name in _TOOLS},
            "qnn": load_libraries().build,
        },
    }
    bundle = write(identity, out, exported, thresholds, provenance)
    write_card(bundle, out / "README.md")
    return ImportReport(bundle, fidelity)


def compare(bundle: Bundle, frames: Sequence[Frame]) -> dict[str, Fidelity]:
    """How near INT8 on the CPU and on the HTP comes to the float graph."""
    with ExitStack() as stack:

        def opened(name: str, **options: Any) -> Any:
            backend = open_backend(bundle, name, **options)
            stack.callback(backend.close)
            return backend

        others = {
            "int8.onnx, CPU": opened("cpu", precision="int8"),
            f"int8.dlc, {where_it_runs()}": opened("dlc"),
        }
        return compare_backends(bundle, opened("cpu", precision="float"), others, frames)


def _pictures_in(folders: Sequence[Path]) -> list[list[Path]]:
    """Pictures of each folder, in the order of their names.

    Raises:
        DataError: a folder is missing or has none.
    """
    lists = []
    for folder in folders:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
        if not found:
            raise DataError(f"{folder}: no picture here; give a folder of pictures")
        lists.append(found)
    return lists


def _spread(lists: Sequence[Sequence[Path]], count: int) -> list[Path]:
    """So many pictures, an equal share of each list, evenly from first to last."""
    chosen = []
    for place, files in enumerate(lists):
        share = count // len(lists) + (place < count % len(lists))
        rows = np.linspace(0, len(files) - 1, min(share, len(files))).round().astype(int)
        chosen += [files[row] for row in np.unique(rows).tolist()]
    return chosen


def _frames(files: Sequence[Path], channels: Modality) -> Iterator[Frame]:
    """Frames of pictures; one that can't be read is an error, for there are few of them."""
    return (_frame(path, channels) for path in files)


def _frame(path: Path, channels: Modality) -> Frame:
    try:
        pixels = read_files((path,), CHANNEL_COUNT[channels])
        return Frame(pixels, _ENCODINGS[channels], 0)
    except (SourceError, EncodingError) as error:
        raise DataError(f"{path}: {error}; take it out of the folder") from error


def _described(origin: Mapping[str, str], pictures: int) -> dict[str, Any]:
    """What the card says where its author says nothing."""
    made = ", ".join(f"{key} {value}" for key, value in origin.items())
    words: dict[str, Any] = dict.fromkeys(CARD_KEYS, "Not stated.")
    words |= {
        "summary": f"A detector that was trained elsewhere ({made}).",
        "use": "`Detector.open(FOLDER).detect(frame)`; the graph ends at the raw heads.",
        "data": ["What it was trained on is not stated."],
        "training": f"Imported by `windhover-train import`; INT8 ranges from {pictures} pictures.",
        "measured": "AP is Windhover's own detector's, from candidates above score 0.005.",
        "limits": ["Not trained by this project; try it on your own pictures before you fly it."],
        "licence": origin.get(
            "license", "As the weights: Ultralytics' are AGPL-3.0 unless you hold another licence."
        ),
        "thresholds": "Ultralytics' default, not tuned",
    }
    return words
