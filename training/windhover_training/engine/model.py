"""The detector as a plain torch module, built by Ultralytics."""

from __future__ import annotations

import torch

from .. import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.cfg import get_cfg  # isort: skip
from ultralytics.nn.tasks import DetectionModel  # isort: skip


def build_model(architecture: str, channels: int, classes: int) -> DetectionModel:
    """Build an untrained detector.

    Args:
        architecture: Ultralytics model file, such as ``yolo11n.yaml``.
        channels: input channels.
        classes: number of classes.

    Returns:
        The model with the loss gains that ``DetectionModel.loss`` needs; it takes
        ``(B, C, H, W)`` float in 0..1.
    """
    model = DetectionModel(architecture, ch=channels, nc=classes, verbose=False)
    model.args = get_cfg()
    return model


def raw_heads(model: DetectionModel, images: torch.Tensor) -> list[torch.Tensor]:
    """Run the model up to its raw heads.

    Args:
        model: in eval mode.
        images: ``(B, C, H, W)`` float in 0..1.

    Returns:
        For each stride, box logits ``(B, 4*reg_max, h, w)`` then class logits
        ``(B, nc, h, w)``: box_s8, score_s8, box_s16, score_s16, box_s32, score_s32.
    """
    saved: list[torch.Tensor | None] = []
    x: torch.Tensor | list[torch.Tensor] = images
    head = model.model[-1]
    for module in model.model[:-1]:
        if module.f != -1:
            x = (
                saved[module.f]
                if isinstance(module.f, int)
                else [x if j == -1 else saved[j] for j in module.f]
            )
        x = module(x)
        saved.append(x if module.i in model.save else None)
    outputs = []
    for i, source in enumerate(head.f):
        outputs += [head.cv2[i](saved[source]), head.cv3[i](saved[source])]
    return outputs
