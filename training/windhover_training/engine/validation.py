"""Scores of a model while it is trained, by what runs on the drone.

The model is put behind the library's own detector: letterbox, decode, NMS and AP are
windhover's, so a validation score is what an exported graph would get, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from windhover.errors import DataError, EncodingError, SourceError
from windhover.model import Bundle
from windhover.model.detector import Detector, Timings
from windhover.model.manifest import (
    HeadSpec,
    InputSpec,
    OutputSpec,
    Thresholds,
)
from windhover.types import Frame
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.fidelity.variants import sample_images
from windhover_training.data.readers.pictures import KINDS, files_of_images, read_frame

_CANDIDATES = Thresholds(score=0.005, iou=0.6, max_detections=300)
_COUNTED_AT = 0.25  # score above which precision and recall are counted


class TorchBackend:
    """A detection model as a backend of the library: raw heads, channels last."""

    name = "torch"

    def __init__(self, model: torch.nn.Module, manifest: Bundle) -> None:
        self._model, self._manifest = model, manifest
        self._where = next(model.parameters()).device
        self.device = str(self._where)

    @torch.no_grad()
    def run(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Raw heads of a ``(1, H, W, C)`` uint8 image in the manifest's order."""
        planes = torch.from_numpy(image).to(self._where).permute(0, 3, 1, 2).float() / 255
        raw = self._model(planes.contiguous(memory_format=torch.channels_last))[1]
        heads = {"box": raw_of(raw)["boxes"], "score": raw_of(raw)["scores"]}
        outputs, first = [], 0
        for stride in self._manifest.head.strides:
            height, width = (side // stride for side in self._manifest.input.hw)
            for kind in ("box", "score"):
                cells = heads[kind][0, :, first : first + height * width]
                shaped = cells.T.reshape(1, height, width, -1)
                outputs.append(np.ascontiguousarray(shaped.float().cpu().numpy()))
            first += height * width
        return outputs

    def close(self) -> None:
        """There is nothing to release."""


def raw_of(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """A head's raw predictions; of YOLO26's two those that need no NMS."""
    return raw.get("one2one", raw)


def manifest_of(
    model: torch.nn.Module, labels: list[str], channels: int, height: int, width: int
) -> Bundle:
    """What a bundle of this model would declare; it has no files, so nothing to verify."""
    head = model.model[-1]
    strides = tuple(int(s) for s in model.stride)
    outputs = tuple(
        OutputSpec(name=f"{kind}_s{stride}", stride=stride, kind=kind)
        for stride in strides
        for kind in ("box", "score")
    )
    return Bundle.model_construct(
        format=1,
        name="training",
        version="0",
        labels=tuple(labels),
        channels=KINDS[channels],
        input=InputSpec(name="images", height=height, width=width, channels=channels),
        head=HeadSpec(
            family="yolo26" if head.reg_max == 1 else "yolo11",
            reg_max=head.reg_max,
            strides=strides,
            outputs=outputs,
        ),
        thresholds=_CANDIDATES,
        provenance={},
        files={},
    )


class Validator:
    """Images with truth, and a model's scores on them."""

    def __init__(
        self,
        root: Path,
        split: str,
        labels: list[str],
        channels: int,
        hw: tuple[int, int],
        most: int | None = None,
        *,
        empty: bool = False,
    ) -> None:
        """Read the truth.

        Args:
            root: converted or rendered set.
            split: name; never the one that is trained on.
            labels: the model's.
            channels: 1, 3 or 4.
            hw: height and width of the model's input.
            most: images to take, evenly spread; None for all.
            empty: whether there may be nothing to find in them.

        Raises:
            DataError: the truth can't be used or holds no object.
        """
        path = root / "truth" / f"{split}.json"
        truth = load_truth(path, labels)
        self.truth = truth if most is None else sample_images(truth, most)
        if not len(self.truth) and not empty:
            raise DataError(f"{path}: no object of {', '.join(labels)} to score; choose a split")
        ids = (image.image_id for image in self.truth.images)
        self._files = files_of_images(root, split, ids, channels)
        self._labels, self._channels, self._hw = labels, channels, hw
        #: Files that could not be read, and why; nothing was found in them.
        self.unreadable: dict[str, str] = {}

    def detector(self, model: torch.nn.Module, least_score: float | None = None) -> Detector:
        """The library's detector around a model, for images with this one's channels.

        Args:
            model: in eval mode.
            least_score: of a detection; None for that of AP, which needs the whole curve.
        """
        manifest = manifest_of(model, self._labels, self._channels, *self._hw)
        limits = _CANDIDATES
        if least_score is not None:
            limits = limits.model_copy(update={"score": least_score})
        return Detector(manifest, TorchBackend(model, manifest), thresholds=limits)

    def score(self, model: torch.nn.Module) -> dict[str, float]:
        """``map50``, ``map50_95`` and AP50 of each label that is in the truth.

        Args:
            model: in eval mode.
        """
        return self.score_detector(self.detector(model))

    def score_detector(
        self, detector: Detector, timed: Callable[[Timings], object] | None = None
    ) -> dict[str, float]:
        """The same of any detector of the library.

        Args:
            detector: with a threshold near zero.
            timed: receives each frame's times.
        """
        found = []
        for row, frame in self.frames():
            found.append((row, detector.detect(frame)))
            if timed is not None:
                timed(detector.timings)
        result = evaluate_detections(self.truth, Predictions.collect(found), _COUNTED_AT)
        scores = {"map50": result.map50, "map50_95": result.map50_95}
        scores |= {f"ap50_{c.label}": c.ap50 for c in result.classes if c.truths}
        return {name: float(value) for name, value in scores.items()}

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The images that can be read, each with its row in the truth."""
        for row, files in enumerate(self._files):
            try:
                frame = read_frame(files, self._channels)
            except (DataError, SourceError, EncodingError) as error:
                self.unreadable[str(files[0])] = str(error)
                continue
            yield row, frame
