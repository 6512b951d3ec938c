"""Quantisation-aware training with AIMET: every tensor of a detector rounded as on the HTP."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from ultralytics.nn.modules.block import C2f
from ultralytics.nn.tasks import DetectionModel

from .. import compat  # noqa: F401  (must come before aimet_torch)

import aimet_torch  # isort: skip
import aimet_torch.onnx  # isort: skip
from aimet_torch import model_preparer  # isort: skip
from aimet_torch.common.utils import AimetLogger  # isort: skip
from aimet_torch.quantsim import QuantizationSimModel  # isort: skip

from ..export.graph import CORE_INPUT, OPSET, Heads, head_names

# A line for every layer that it takes apart.
AimetLogger.set_level_for_all_areas(logging.WARNING)

#: AIMET's description of what the HTP of a QCS8550 does.
HTP_CONFIG = "htp_v73"


class QuantisationSimulation(torch.nn.Module):
    """Raw heads with every tensor rounded, and the loss of the detector that they are of.

    Attributes:
        quantised: AIMET's model: ``(B, C, H, W)`` 0..1 in, raw heads out.
        names: of its outputs.
        yaml: architecture of the detector.
    """

    def __init__(
        self, model: DetectionModel, images: Iterable[NDArray[np.uint8]], score_range: float
    ) -> None:
        """Insert the rounding and choose its ranges.

        Args:
            model: trained, in eval mode; it is not changed.
            images: calibration images, each ``(1, H, W, C)`` uint8, at least one.
            score_range: largest score of the outputs as a logit.
        """
        super().__init__()
        heads = Heads(model).eval()
        for module in heads.modules():
            if isinstance(module, C2f):
                # The other one cuts a tensor by a method that the tracer does not follow.
                module.forward = module.forward_split
        device = next(model.parameters()).device
        planes = [torch.from_numpy(i).to(device).permute(0, 3, 1, 2).float() / 255 for i in images]
        traced = model_preparer.prepare_model(heads)
        sim = QuantizationSimModel(
            traced, planes[0], quant_scheme="tf_enhanced", config_file=HTP_CONFIG,
            default_param_bw=8, default_output_bw=8, in_place=True,
        )  # fmt: skip
        sim.compute_encodings(_run, planes)
        self.quantised: torch.nn.Module = sim.model
        self.names = head_names([int(stride) for stride in model.stride])
        self.yaml: dict[str, Any] = model.yaml
        self._fix_ends(score_range)
        self._criterion: Any = model.init_criterion()

    def forward(self, images: torch.Tensor) -> dict[str, Any]:
        """The raw predictions that Ultralytics' loss takes."""
        outputs = self.quantised(images)
        boxes, scores = outputs[0::2], outputs[1::2]
        return {
            "boxes": torch.cat([each.flatten(2) for each in boxes], 2),
            "scores": torch.cat([each.flatten(2) for each in scores], 2),
            # Looked at for their shapes only.
            "feats": list(scores),
        }

    def loss(self, batch: dict[str, torch.Tensor], raw: dict[str, Any]) -> Any:
        """Ultralytics' detection loss."""
        return self._criterion(raw, batch)

    def export(self, height: int, width: int, channels: int) -> onnx.ModelProto:
        """The QDQ graph, channels first, with 8-bit weights, float at both ends."""
        device = next(self.quantised.parameters()).device
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "qdq.onnx")
            aimet_torch.onnx.export(
                self.quantised.eval(),
                (torch.zeros(1, channels, height, width, device=device),),
                path,
                opset_version=OPSET,
                dynamo=False,
                prequantize_constants=True,
                input_names=[CORE_INPUT],
                output_names=self.names,
            )
            return onnx.load(path)

    def _fix_ends(self, score_range: float) -> None:
        """Pixels cover 0..1, and scores the same logits at every stride."""
        for node in self.quantised.graph.nodes:
            if node.op == "placeholder":
                for taker in node.users:
                    _set_range(self._module(taker).input_quantizers[0], 0.0, 1.0)
            elif node.op == "output":
                for name, source in zip(self.names, _flat(node.args), strict=True):
                    if name.startswith("score"):
                        high = score_range * 127 / 128
                        _set_range(self._module(source).output_quantizers[0], -score_range, high)

    def _module(self, node: torch.fx.Node) -> Any:
        return self.quantised.get_submodule(str(node.target))


def _run(model: torch.nn.Module, planes: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for each in planes:
            model(each)


def _set_range(quantiser: Any, low: float, high: float) -> None:
    """Fix a range: training moves the weights below it and not it."""
    quantiser.set_range(torch.tensor(low), torch.tensor(high))
    quantiser.requires_grad_(False)


def _flat(arguments: Any) -> list[torch.fx.Node]:
    found = []
    for each in arguments:
        found += _flat(each) if isinstance(each, (tuple, list)) else [each]
    return found
