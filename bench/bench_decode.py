"""Decode and NMS against Ultralytics' own, from the same raw head outputs.

Ultralytics' part is its ``Detect`` head's decode of the raw tensors (its own
layout, ready joined) and its ``non_max_suppression`` with the same thresholds,
under inference_mode. Before anything is timed both must give the same boxes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.heads import STRIDES, Heads, crowded
from bench.row import Row, median, p99, time_in_turn
from windhover.model.decode import Decoder
from windhover.model.nms import nms
from windhover.types import Detections

SCORE, IOU, MAX_DETECTIONS = 0.25, 0.6, 300
CASES = (("yolo11", 3), ("yolo11", 80), ("yolo26", 3), ("yolo26", 80))
LEAST_RATIO = 5.0


def ours(heads: Heads) -> tuple[Callable[[], Detections], Callable[[], Detections]]:
    """Decode alone, and decode with NMS."""
    decoder = Decoder(heads.manifest, SCORE)

    def decode() -> Detections:
        return decoder.decode(heads.outputs)

    def whole() -> Detections:
        found = decode()
        return found[nms(found.boxes, found.scores, found.class_ids, IOU, MAX_DETECTIONS)]

    return decode, whole


def ultralytics(heads: Heads) -> Callable[[], Any]:
    """Ultralytics' decode and NMS, which gives rows of x1, y1, x2, y2, score, class."""
    import torch
    from ultralytics.nn.modules.head import Detect
    from ultralytics.utils.nms import non_max_suppression

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    declared = heads.manifest
    head = Detect(len(declared.labels), declared.head.reg_max, ch=(64,) * len(STRIDES)).eval()
    head.stride = torch.tensor([float(s) for s in STRIDES])

    def joined(parts: list[np.ndarray]) -> torch.Tensor:
        flat = [p.reshape(-1, p.shape[-1]).T for p in parts]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(flat, axis=1)[None]))

    raw = {
        "boxes": joined(heads.outputs[0::2]),
        "scores": joined(heads.outputs[1::2]),
        "feats": [torch.empty(1, 1, *box.shape[1:3]) for box in heads.outputs[0::2]],
    }

    def whole() -> torch.Tensor:
        with torch.inference_mode():
            decoded = head._inference(raw)
            return non_max_suppression(decoded, SCORE, IOU, max_det=MAX_DETECTIONS)[0]

    return whole


def measure() -> list[Row]:
    """Time each case; Ultralytics too where it can be imported."""
    rows = []
    for family, classes in CASES:
        heads = crowded(family, classes)
        decode, whole = ours(heads)
        case = f"{family}, {classes} classes, {len(decode())} of 8400 cells pass"
        if importlib.util.find_spec("ultralytics") is None:
            times = time_in_turn((decode, whole))
            peer, peer_ms, note = None, None, "Ultralytics not measured: make train-env"
        else:
            theirs = ultralytics(heads)
            _must_agree(whole(), theirs().numpy())
            times = time_in_turn((decode, whole, theirs))
            peer, peer_ms, note = f"Ultralytics {_version()}", median(times[2]), _nms_used()
        rows.append(
            Row(
                "decode + NMS",
                case,
                median(times[1]),
                p99(times[1]),
                peer,
                peer_ms,
                least_ratio=LEAST_RATIO,
                note=note,
            )
        )
        rows.append(Row("  of it decode", case, median(times[0]), p99(times[0])))
    return rows


def _must_agree(kept: Detections, peer: np.ndarray) -> None:
    """A ratio of two different results would mean nothing."""
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
    return "its NMS: its own TorchNMS, which it takes without torchvision"
