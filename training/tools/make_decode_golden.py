"""Make the golden tensors that hold windhover's decode equal to Ultralytics'.

Licence: AGPL-3.0, because it imports ultralytics. The .npz files it writes are
numbers only; windhover's tests read them without ultralytics.

A yolo11n, one with a stride-4 level and a yolo26n, all with seeded weights, look at a
seeded picture. Weights
fresh from initialisation score every cell about the same, so the last layer of
each class branch is scaled up until a few hundred cells pass the threshold.
Stored: the raw head outputs (NHWC, float32), what Ultralytics' own Detect head
decodes from them, and what its ``non_max_suppression`` keeps.

Run: .venv-train/bin/python training/tools/make_decode_golden.py [OUT_DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from ultralytics.nn.modules.head import Detect
from ultralytics.utils.nms import non_max_suppression

from windhover_training.engine.model import build_model

CLASSES = 3
#: Name of the file -> height and width of the picture.
SIZES = {"yolo11": (128, 160), "yolo26": (128, 160), "yolo11-p2": (64, 96)}
SCORE, IOU, MAX_DETECTIONS = 0.25, 0.6, 300
DEFAULT_OUT = Path(__file__).parents[2] / "src/windhover/tests/model/golden"


def raw_outputs(
    preds: dict[str, torch.Tensor], strides: list[int], hw: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Split the head's concatenated raw outputs into one NHWC array per level."""
    arrays, start = {}, 0
    for stride in strides:
        height, width = hw[0] // stride, hw[1] // stride
        end = start + height * width
        for kind, key in (("box", "boxes"), ("score", "scores")):
            level = preds[key][0, :, start:end].T.reshape(1, height, width, -1)
            arrays[f"{kind}_s{stride}"] = level.contiguous().numpy()
        start = end
    return arrays


def liven(head: Detect, box_gain: float, score_gain: float, score_bias: float) -> None:
    """Spread the last layers' outputs so that boxes and scores differ by cell and class."""
    heads = [head.one2many] if not head.end2end else [head.one2one]
    for branch in heads:
        for layer in (m[-1] for m in branch["box_head"]):
            layer.weight.data *= box_gain
        for layer in (m[-1] for m in branch["cls_head"]):
            layer.weight.data *= score_gain
            layer.bias.data.fill_(score_bias)


def make(name: str, out: Path) -> None:
    """Write ``out/<name>.npz``."""
    torch.manual_seed(11)
    family, hw = name.partition("-")[0], SIZES[name]
    model = build_model(name.replace(family, f"{family}n") + ".yaml", 3, CLASSES).eval()
    head = model.model[-1]
    if family == "yolo26":
        head.end2end = True
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Statistics of the seeded input keep the signal alive through 100 layers.
            module.reset_running_stats()
            module.momentum = None
            module.train()
    image = torch.rand(4, 3, *hw)
    model(image)
    model.eval()
    liven(head, box_gain=6.0, score_gain=8.0, score_bias=-0.5)
    _, preds = model(image[:1])
    raw = preds["one2one"] if head.end2end else preds
    decoded = head._inference(raw)
    box, score = decoded[0].T.split((4, CLASSES), dim=1)
    # The one-to-one head decodes to corners, the other to centre and size,
    # which is what the NMS takes.
    if head.end2end:
        centred = torch.cat(((box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]), 1)
        decoded = torch.cat((centred, score), 1).T[None]
    else:
        box = torch.cat((box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2), 1)
    kept = non_max_suppression(decoded, SCORE, IOU, max_det=MAX_DETECTIONS)[0]
    passed = int((score.max(1).values > SCORE).sum())
    arrays = raw_outputs(raw, [int(s) for s in head.stride], hw)
    path = out / f"{name}.npz"
    arrays |= {
        "decoded_boxes": box.numpy(),
        "decoded_scores": score.numpy(),
        "kept": kept.numpy(),
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)
    print(
        f"{path}: {path.stat().st_size} B, {len(score)} cells, {passed} over {SCORE}, "
        f"{len(kept)} kept, scores {score.min():.3f}..{score.max():.3f}"
    )


def main() -> None:
    """Write all golden files."""
    torch.set_num_threads(1)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUT
    out.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for name in SIZES:
            make(name, out)


if __name__ == "__main__":
    main()
