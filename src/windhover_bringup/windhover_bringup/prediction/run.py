"""Runs a detector over a source and writes what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.boxes import clip_results
from windhover.errors import ConfigError, DataError
from windhover.files import write_atomic, write_bytes_atomic
from windhover.health.latency import LatencyStats
from windhover.imaging.colour import is_coloured, is_false_colour
from windhover.imaging.display import draw_results
from windhover.imaging.video import VideoWriter
from windhover.model.detector import Detector
from windhover.model.pictures import ModelInput
from windhover.sources.base import Source
from windhover.sources.files import ImageFiles
from windhover.types import Detections, Frame
from windhover_bringup.prediction.labels import CocoDetections, yolo_text

JPEG_QUALITY = 90
COCO_FILE = "predictions.json"
THERMAL_MODEL, COLOUR_MODEL = "thermal-n", "rgbt-n"


@dataclass(slots=True)
class Prediction:
    """What came of a run.

    Attributes:
        frames: how many were looked at.
        with_objects: in how many of them something was found.
        found: how many of each label, in the model's order.
        unreadable: why frames could not be read; one text each.
        detect_ms: median time of a detection, milliseconds.
        written: the files that a person may open, the first first.
    """

    frames: int = 0
    with_objects: int = 0
    found: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    detect_ms: float = 0.0
    written: list[Path] = field(default_factory=list)

    def summary(self) -> str:
        """One line on what was found and what was dropped."""
        counts = ", ".join(f"{n} {label}" for label, n in self.found.items() if n)
        text = (
            f"{self.frames} frames, {self.with_objects} with objects: {counts or 'nothing'}; "
            f"{self.detect_ms:.1f} ms a frame"
        )
        if not self.unreadable:
            return f"{text}; none dropped"
        return f"{text}; {len(self.unreadable)} could not be read, the first: {self.unreadable[0]}"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is written, and where.

    Attributes:
        folder: where to.
        save: annotated pictures, or a video where the source is no set of pictures.
        save_txt: labels as YOLO text, a file for each frame.
        save_conf: with the scores in it.
        video_rate_hz: of a video that is made of a set of pictures; ``None`` for none.
    """

    folder: Path
    save: bool = True
    save_txt: bool = False
    save_conf: bool = False
    video_rate_hz: float | None = None


def class_filter(labels: Sequence[str], wanted: Sequence[str] | None) -> NDArray[np.bool_]:
    """Which classes are kept, ``(C,)`` bool.

    Args:
        labels: of the model.
        wanted: some of them, by name or number; ``None`` for all.

    Raises:
        ConfigError: the model has no such class.
    """
    if wanted is None:
        return np.ones(len(labels), np.bool_)
    known = {**{str(i): i for i in range(len(labels))}, **{n: i for i, n in enumerate(labels)}}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise ConfigError(
            f"no class {', '.join(unknown) or 'named'}; the model has {', '.join(labels)}"
        )
    kept = np.zeros(len(labels), np.bool_)
    kept[[known[name] for name in wanted]] = True
    return kept


def default_model(first: Frame | None) -> str:
    """The released model for the kind of pictures that a source gives.

    Args:
        first: a frame of it, in its own colours; ``None`` where there is none to look at.
    """
    if first is None or is_false_colour(first.image, first.encoding):
        return THERMAL_MODEL
    coloured = first.encoding == "8UC4" or is_coloured(first.image, first.encoding)
    return COLOUR_MODEL if coloured else THERMAL_MODEL


def colour_warning(first: Frame, detector: Detector) -> str | None:
    """What to say where a model of thermal pictures gets colour ones; ``None`` where all is well.

    Args:
        first: a frame of the source, in its own colours.
        detector: that gets them.
    """
    if detector.bundle.modality != "thermal" or not is_coloured(first.image, first.encoding):
        return None
    return (
        f"the pictures are in colour and {detector.bundle.name} is a model for thermal ones; what "
        f"it finds in them means little (for colour: --model {COLOUR_MODEL})"
    )


def predict(
    source: Source,
    detector: Detector,
    outputs: Outputs,
    classes: Sequence[str] | None = None,
    each: Callable[[int], None] = lambda _: None,
) -> Prediction:
    """Detect in every frame of a source and write the results.

    Ctrl-C ends a live source well: what was written until then is closed.

    Args:
        source: opened; frames that can't be read have to be skipped by it.
        detector: open.
        outputs: what is written.
        classes: keep these only, by name or number.
        each: called with the number of frames done after each.

    Raises:
        ConfigError: a class is unknown, or a frame does not suit the model.
        DataError: a result can't be written.
    """
    kept = class_filter(detector.labels, classes)
    model_input = ModelInput(detector.bundle)
    times, coco = LatencyStats(), CocoDetections(detector.labels)
    result = Prediction(found=Counter(dict.fromkeys(detector.labels, 0)))
    with ExitStack() as stack:
        writer = stack.enter_context(_Writer(source, outputs, detector.labels))
        try:
            for frame in source:
                found = detector.detect(model_input.of(frame))
                times.record(detector.timings.total_ns)
                found = clip_results(found[kept[found.class_ids]], frame.width, frame.height)
                _count(result, found, detector.labels)
                name = writer.write(frame, found)
                coco.add(name, found, frame.width, frame.height)
                each(result.frames)
        except KeyboardInterrupt:
            if not result.frames:
                raise
    coco.write(outputs.folder / COCO_FILE)
    result.detect_ms = times.summary().p50_ms or 0.0
    result.written = [*writer.written, outputs.folder / COCO_FILE]
    return result


def _count(result: Prediction, found: Detections, labels: Sequence[str]) -> None:
    result.frames += 1
    result.with_objects += bool(len(found))
    result.found.update(labels[label] for label in found.class_ids.tolist())


class _Writer:
    """Writes pictures, video and YOLO text, each under its source's name."""

    def __init__(self, source: Source, outputs: Outputs, labels: Sequence[str]) -> None:
        self.written: list[Path] = []
        self._outputs = outputs
        self._labels = tuple(labels)
        self._files = source.paths if isinstance(source, ImageFiles) else None
        if self._files and self._files[0].resolve().parent == outputs.folder.resolve():
            raise ConfigError(f"--out {outputs.folder} is the folder of the pictures; use another")
        stems = Counter(file.stem for file in self._files or ())
        self._shared_stems = {stem for stem, count in stems.items() if count > 1}
        self._stem = _stem(source.name)
        rate_hz = source.rate_hz if self._files is None else outputs.video_rate_hz
        self._video: VideoWriter | None = None
        if outputs.save and rate_hz is not None:
            self._video = VideoWriter(outputs.folder / f"{self._stem}.mp4", rate_hz)
            self.written.append(self._video.path)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._video is not None:
            self._video.close()

    def write(self, frame: Frame, found: Detections) -> str:
        """Write one frame's results; returns the frame's name."""
        name = self._name(frame)
        if self._outputs.save_txt or self._outputs.save_conf:
            # Empty where nothing was found: Datumaro, and so CVAT, wants a file for each picture.
            path = self._outputs.folder / "labels" / f"{self._base(name)}.txt"
            text = yolo_text(found, frame.width, frame.height, self._outputs.save_conf)
            write_atomic(path, text)
        if self._outputs.save:
            picture = draw_results(frame, found, self._labels)
            if self._video is not None:
                self._video.write(picture, frame.stamp_ns)
            if self._files is not None:
                self._write_picture(picture, name)
        return name

    def _name(self, frame: Frame) -> str:
        if self._files is not None:
            return self._files[frame.index].name
        return f"{self._stem}_{frame.index + 1:06d}.jpg"

    def _base(self, name: str) -> str:
        """A frame's name without its suffix, unless that alone tells it from another."""
        stem = Path(name).stem
        return name if stem in self._shared_stems else stem

    def _write_picture(self, picture: NDArray[np.uint8], name: str) -> None:
        path = self._outputs.folder / f"{self._base(name)}.jpg"
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        try:
            write_bytes_atomic(path, data.tobytes())
        except OSError as error:
            raise DataError(f"can't write {path}: {error.strerror or error}") from error
        self.written.append(path)


def _stem(uri: str) -> str:
    """A file name for what is made of a source."""
    path = uri.partition(":")[2] if ":" in uri and not Path(uri).exists() else uri
    name = Path(path.partition("?")[0]).stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name) or "source"
