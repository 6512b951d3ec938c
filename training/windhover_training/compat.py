"""Registers what CPU torch lacks so that ultralytics and aimet_torch can be imported.

torchvision 0.28 installed without its own torch build has no compiled operators, and
importing it fails because ``torchvision::nms`` and ``torchvision::qnms`` do not exist. Import
this module before either package; it adds the operators only where they are missing.

It also keeps Ultralytics to itself. When it is imported it asks for the addresses of two
hosts to see whether it is online, then sends usage events, and it installs packages that it
misses: ``YOLO_OFFLINE`` and ``YOLO_AUTOINSTALL`` turn that off where they are not set.
"""

from __future__ import annotations

import os

import torch

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

_LIBRARIES: list[torch.library.Library] = []  # a Library unregisters its operators when collected


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression with torchvision's contract.

    Args:
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        scores: ``(N,)``.
        iou_threshold: boxes that overlap a kept one by more than this are dropped.

    Returns:
        Indices of the kept boxes, int64, highest score first.
    """
    order = scores.argsort(descending=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    while order.numel():
        best, rest = order[0], order[1:]
        keep.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[rest, :2])
        far = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        inter = (far - corner).clamp(min=0).prod(dim=1)
        order = rest[inter / (area[best] + area[rest] - inter) <= iou_threshold]
    return torch.stack(keep) if keep else torch.zeros(0, dtype=torch.int64)


def register_missing_operators() -> bool:
    """Register ``torchvision::nms`` where no compiled one exists.

    ``qnms``, for quantised tensors, is declared only: torchvision describes its shapes when
    it is imported, and nothing here calls it.

    Returns:
        True if they were registered by this call.
    """
    if hasattr(torch.ops.torchvision, "nms"):
        return False
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _LIBRARIES.append(library)
    return True


#: Whether nms here is ours, in Python, because torchvision's own does not load.
REGISTERED = register_missing_operators()
