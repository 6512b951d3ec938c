"""Raw heads as a trained detector gives them for an image with many objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.model.manifest import REG_MAX, Manifest

STRIDES = (8, 16, 32)
#: Of a head with a level of stride 4 (``yolo11n-p2.yaml``).
FINE_STRIDES = (4, *STRIDES)


@dataclass(frozen=True, slots=True)
class RawHeads:
    """A manifest and outputs that fit it, NHWC float32 or uint8."""

    manifest: Manifest
    outputs: list[NDArray[Any]]

    def dequantised(self) -> RawHeads:
        """The same as float32, for a decoder that takes nothing else."""
        if self.outputs[0].dtype == np.float32:
            return self
        outputs = [
            (raw.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
            for raw, spec in zip(self.outputs, self.manifest.head.outputs, strict=True)
        ]
        return RawHeads(self.manifest, outputs)


def quantised(heads: RawHeads) -> RawHeads:
    """The heads as an INT8 graph gives them: scores over -8..8, boxes over their range."""
    declared = heads.manifest.model_dump(mode="json")
    outputs = []
    for spec, real in zip(declared["head"]["outputs"], heads.outputs, strict=True):
        low, high = (-8.0, 7.9375) if spec["kind"] == "score" else (real.min(), real.max())
        scale = float(high - low) / 255
        zero_point = round(-float(low) / scale)
        spec |= {"scale": scale, "zero_point": zero_point}
        outputs.append(np.clip(np.rint(real / scale) + zero_point, 0, 255).astype(np.uint8))
    return RawHeads(Manifest.model_validate(declared), outputs)


def _manifest(family: str, classes: int, size: int, strides: Sequence[int]) -> Manifest:
    outputs = [
        {"name": f"{kind}_s{stride}", "stride": stride, "kind": kind}
        for stride in strides
        for kind in ("box", "score")
    ]
    return Manifest.model_validate(
        {
            "format": 1,
            "name": "bench",
            "version": "1",
            "labels": [f"class{i}" for i in range(classes)],
            "channels": "rgb",
            "input": {"name": "images", "height": size, "width": size, "channels": 3},
            "head": {
                "family": family,
                "reg_max": REG_MAX[family],
                "strides": list(strides),
                "outputs": outputs,
            },
            "files": {"float_onnx": {"path": "none", "sha256": "0" * 64, "bytes": 1}},
        }
    )


def crowded_heads(
    family: str = "yolo11",
    classes: int = 3,
    objects: int = 100,
    size: int = 640,
    seed: int = 0,
    strides: Sequence[int] = STRIDES,
) -> RawHeads:
    """Objects of 12 to 90 px, each detected by some ten cells near its centre.

    Background cells have logits about -8. A cell on an object scores higher the closer
    it is to the centre, and predicts the object's four sides with a little noise, as
    distances (yolo26) or as bell-shaped distributions (yolo11).
    """
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(12), np.log(90), (objects, 2)))
    centres = rng.uniform(20, size - 20, (objects, 2))
    labels = rng.integers(0, classes, objects)
    reg_max = REG_MAX[family]
    outputs: list[NDArray[np.float32]] = []
    for stride in strides:
        side = size // stride
        y, x = np.mgrid[:side, :side] + 0.5
        cells = np.stack((x.ravel(), y.ravel()), axis=1) * stride
        scores = rng.normal(-8, 1.2, (side * side, classes)).astype(np.float32)
        boxes = rng.normal(0, 1, (side * side, 4, reg_max)).astype(np.float32)
        off = cells[:, None] - centres
        fits = np.abs(np.log2(sizes.max(axis=1) / (4 * stride))) < 1.1
        cell, one = np.nonzero((np.abs(off) < 0.4 * sizes).all(axis=2) & fits)
        off = off[cell, one]
        scores[cell, labels[one]] = (
            3 - 6 * np.hypot(*(off / sizes[one]).T) + rng.normal(0, 0.5, len(cell))
        )
        half = sizes[one] / 2
        distances = np.concatenate((half + off, half - off), axis=1) / stride
        distances += rng.normal(0, 0.05, distances.shape)
        if reg_max == 1:
            boxes[cell, :, 0] = distances
        else:
            bell = -2 * (distances.clip(0, reg_max - 1.01)[..., None] - np.arange(reg_max)) ** 2
            boxes[cell] = bell.clip(-12, None)
        outputs += [
            boxes.reshape(1, side, side, 4 * reg_max),
            scores.reshape(1, side, side, classes),
        ]
    return RawHeads(_manifest(family, classes, size, strides), outputs)
