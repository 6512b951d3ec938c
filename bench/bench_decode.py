"""Decode and NMS against Ultralytics' own, from the same raw head outputs.

Ultralytics' part is its ``Detect`` head's decode of the raw tensors (already in its
layout) and its ``non_max_suppression`` with the same thresholds, under
inference_mode. 8-bit outputs are dequantised for it before the timing starts. Both
must give the same boxes before anything is timed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.heads import FINE_STRIDES, STRIDES, RawHeads, crowded_heads, quantised
from bench.row import Row, fair_clock, median, p99, time_alternately
from windhover.boxes import iou_matrix
from windhover.model.decode import Decoder
from windhover.model.nms import nms
from windhover.types import Detections

SCORE, IOU, MAX_DETECTIONS = 0.25, 0.6, 300
# Family, classes, objects, bits of the outputs, strides: what an INT8 bundle gives comes first.
CASES = (
    ("yolo11", 4, 20, 8, STRIDES),
    ("yolo11", 4, 100, 8, STRIDES),
    ("yolo11", 4, 100, 8, FINE_STRIDES),
    ("yolo11", 3, 100, 32, STRIDES),
    ("yolo11", 80, 100, 32, STRIDES),
    ("yolo26", 3, 100, 32, STRIDES),
    ("yolo26", 80, 100, 32, STRIDES),
)
MIN_RATIO = 5.0
MAX_MS = 1.0


def ours(heads: RawHeads) -> tuple[Callable[[], Detections], Callable[[], Detections]]:
    """Decode alone, and decode with NMS."""
    decoder = Decoder(heads.manifest, SCORE)

    def decode() -> Detections:
        return decoder.decode(heads.outputs)

    def decode_and_nms() -> Detections:
        found = decode()
        return found[nms(found.boxes, found.scores, found.class_ids, IOU, MAX_DETECTIONS)]

    return decode, decode_and_nms


def ultralytics(heads: RawHeads) -> Callable[[], Any]:
    """Ultralytics' decode and NMS, which gives rows of x1, y1, x2, y2, score, class."""
    import torch
    from ultralytics.nn.modules.head import Detect
    from ultralytics.utils.nms import non_max_suppression

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    declared = heads.manifest
    strides = declared.head.strides
    head = Detect(len(declared.labels), declared.head.reg_max, ch=(64,) * len(strides)).eval()
    head.stride = torch.tensor([float(s) for s in strides])

    def joined(parts: list[np.ndarray]) -> torch.Tensor:
        flat = [p.reshape(-1, p.shape[-1]).T for p in parts]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(flat, axis=1)[None]))

    outputs = heads.dequantised().outputs
    raw = {
        "boxes": joined(outputs[0::2]),
        "scores": joined(outputs[1::2]),
        "feats": [torch.empty(1, 1, *box.shape[1:3]) for box in outputs[0::2]],
    }

    def decode_and_nms() -> torch.Tensor:
        with torch.inference_mode():
            decoded = head._inference(raw)
            return non_max_suppression(decoded, SCORE, IOU, max_det=MAX_DETECTIONS)[0]

    return decode_and_nms


def measure() -> list[Row]:
    """Time each case; Ultralytics too where it can be imported."""
    rows = []
    for family, classes, objects, bits, strides in CASES:
        heads = crowded_heads(family, classes, objects, strides=strides)
        if bits == 8:
            heads = quantised(heads)
        decode, decode_and_nms = ours(heads)
        cells = sum(score.shape[1] * score.shape[2] for score in heads.outputs[1::2])
        level = ", P2" if strides is FINE_STRIDES else ""
        case = (
            f"{family}{level}, {bits} bit, {classes} classes, {len(decode())} of {cells} cells pass"
        )
        if importlib.util.find_spec("ultralytics") is None:
            times = time_alternately((decode, decode_and_nms), clock=fair_clock())
            peer, peer_ms, note = None, None, "Ultralytics not measured: make train-env"
        else:
            theirs = ultralytics(heads)
            _require_agreement(decode_and_nms(), theirs().numpy(), exactly=bits != 8)
            times = time_alternately((decode, decode_and_nms, theirs), clock=fair_clock())
            peer, peer_ms, note = f"Ultralytics {_version()}", median(times[2]), _nms_used()
        mine, far = median(times[1]), p99(times[1])
        rows.append(
            Row("postprocess: decode + NMS", case, mine, far, peer, peer_ms,
                min_ratio=None if bits == 8 else MIN_RATIO,
                max_ms=MAX_MS if bits == 8 else None, note=note)
        )  # fmt: skip
        rows.append(Row("  of it decode", case, median(times[0]), p99(times[0])))
    return rows


def _require_agreement(kept: Detections, peer: np.ndarray, exactly: bool) -> None:
    """Refuse to compare the times of two different results.

    In 8 bits many scores are equal, and their order is undefined: there each must have
    kept a box for every box that the other keeps.
    """
    if not exactly:
        overlaps = iou_matrix(kept.boxes.astype(np.float64), peer[:, :4].astype(np.float64))
        overlaps[kept.class_ids[:, None] != peer[None, :, 5]] = 0.0
        if min(overlaps.max(axis=0).min(), overlaps.max(axis=1).min()) < IOU - 1e-3:
            raise AssertionError("ours and Ultralytics keep boxes of different objects")
        return
    if len(kept) != len(peer):
        raise AssertionError(f"ours keeps {len(kept)} boxes, Ultralytics {len(peer)}")
    np.testing.assert_allclose(kept.boxes, peer[:, :4], atol=2e-3)
    np.testing.assert_allclose(kept.scores, peer[:, 4], atol=1e-5)
    np.testing.assert_array_equal(kept.class_ids, peer[:, 5])


def _version() -> str:
    import ultralytics

    return str(ultralytics.__version__)


def _nms_used() -> str:
    if "torchvision" in sys.modules:
        return "its NMS: torchvision's compiled one"
    return "its NMS: its TorchNMS, which it uses without torchvision"
