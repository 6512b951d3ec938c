"""Phase 0 of the guide: which of six small detectors are worth training in earnest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from windhover.files import write_atomic
from windhover.machine import machine_facts
from windhover.model import Bundle
from windhover_evaluation.fidelity.agreement import Fidelity

from ..config import LabelledSplit, QuantisationConfig, ReleaseConfig, Strict
from ..device.transport import open_device
from ..engine.validation import Validator
from ..evaluate.candidate import (
    Budget,
    CandidateResult,
    against_float,
    half_bundle,
    measure,
    on_device,
    run_on_cpu,
)
from ..export.bundle import export_graphs, write
from ..runs import Run, RunState
from .base import Phase, RequiredInput
from .pictures import PictureConfig, begin, inputs, pictures_of
from .training import TrainingSetup, exam_of, run_training


class CandidateConfig(Strict):
    """One architecture and the precisions that it is judged in."""

    model: str
    precisions: tuple[Literal["int8", "fp16"], ...] = ("int8", "fp16")


class BudgetConfig(Strict):
    """What the drone allows; see :class:`..evaluate.candidate.Budget`."""

    model_mb: float = Field(20.0, gt=0)
    inference_ms: float = Field(14.0, gt=0)
    int8_loss: float = Field(0.02, ge=0)


class BenchmarkConfig(PictureConfig):
    """All candidates are trained alike, then judged on the validation images.

    Attributes:
        candidates: the guide's three architectures in two precisions each.
        budget: that decides.
        calibration_images: training images that set the activation ranges.
        emulator_images: images that the HTP emulator sees; 0 leaves it out.
        timed_on: where INT8 is timed, ``adb:SERIAL`` or ``ssh:USER@HOST``; None for nowhere.
    """

    candidates: tuple[CandidateConfig, ...] = tuple(
        CandidateConfig(model=model) for model in ("yolo11n.yaml", "yolo11s.yaml", "yolo26n.yaml")
    )
    budget: BudgetConfig = BudgetConfig()
    calibration_images: int = Field(48, gt=0)
    emulator_images: int = Field(4, ge=0)
    timed_on: str | None = None
    epochs: int | None = Field(50, gt=0)
    patience: int = Field(10, ge=0)

    def of_candidate(self, candidate: CandidateConfig) -> PictureConfig:
        """The trainer's config for one candidate."""
        own = {key: getattr(self, key) for key in PictureConfig.model_fields}
        name = f"{self.name}: {name_of(candidate.model)}"
        return PictureConfig.model_construct(**(own | {"name": name, "model": candidate.model}))


def name_of(model: str) -> str:
    """``yolo11n`` of ``some/where/yolo11n.yaml``."""
    return Path(model).stem


def _needs(config: BenchmarkConfig) -> list[RequiredInput]:
    return inputs(config)


def _run(config: BenchmarkConfig, run: Run) -> Mapping[str, Any] | None:
    rows: list[CandidateResult] = []
    if config.timed_on is not None:
        open_device(config.timed_on)  # before hours of training, not after them
    for candidate in config.candidates:
        own = Run(run.folder / name_of(candidate.model))
        if own.state() is not RunState.FINISHED:
            chosen = config.of_candidate(candidate)
            if run_training(partial(_start, chosen, own), chosen, own) is None:
                return None
            own.set_state(RunState.FINISHED, "benchmark")
        rows += _judge(config, candidate, own)
    budget = Budget(**config.budget.model_dump())
    write_atomic(run.folder / "benchmark.md", as_table(rows, budget))
    return {
        "machine": machine_facts(),
        "images": len(_exam(config).truth.images),
        "budget": asdict(budget),
        "candidates": [_as_json(row, budget) for row in rows],
    }


def _start(config: PictureConfig, run: Run, rank: int) -> TrainingSetup:
    return begin(config, pictures_of(config, run, rank))


def _exam(config: BenchmarkConfig) -> Validator:
    exam = exam_of(config)
    assert exam is not None  # these phases always validate
    return exam


def _judge(config: BenchmarkConfig, candidate: CandidateConfig, own: Run) -> list[CandidateResult]:
    """Export one trained candidate and measure it in each precision."""
    exam = _exam(config)
    bundle = _export(config, candidate, own)
    float_scores, _ = run_on_cpu(bundle, "float", exam)
    rows = []
    for precision in candidate.precisions:
        shown = bundle if precision == "int8" else half_bundle(bundle, own.folder / "fp16")
        row = measure(name_of(candidate.model), precision, shown, exam, config.emulator_images)
        if config.timed_on is not None and precision == "int8":
            row = replace(row, device_ms=on_device(shown, config.timed_on))
        rows.append(against_float(row, float_scores))
    return rows


def _export(config: BenchmarkConfig, candidate: CandidateConfig, own: Run) -> Bundle:
    release = ReleaseConfig(
        name=name_of(candidate.model),
        version="benchmark",
        checkpoint=own.best,
        height=config.imgsz,
        width=config.imgsz,
        calibration=QuantisationConfig(
            data=[config.data], images=config.calibration_images, seed=config.seed
        ),
        scores={},
        thresholds_on=(LabelledSplit(data=config.data, split=config.val),),
        provenance={},
    )
    out = own.folder / "bundle"
    return write(release, out, export_graphs(release, out), {"iou": release.iou}, {})


def as_table(rows: Sequence[CandidateResult], budget: Budget) -> str:
    """The rows as Markdown, with what each figure is."""
    heading = [
        "model", "precision", "mAP50", "mAP50-95", "MB", "CPU ms", "same boxes on the HTP emulator",
        "estimate ms", "device ms", "verdict",
    ]  # fmt: skip
    lines = [heading, ["---"] * len(heading), *(_cells(row, budget) for row in rows)]
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return text + (
        "\nCPU ms: median of one thread on the machine that ran the benchmark, not the drone's. "
        "Estimate: from the graph alone, no measurement. Device: not measured unless a device "
        "was given.\n"
    )


def _cells(row: CandidateResult, budget: Budget) -> list[str]:
    near = row.emulator
    low, high = row.estimate_ms
    keep, why = row.verdict(budget)
    return [
        row.model,
        row.precision.upper(),
        f"{row.map50:.3f}",
        f"{row.map50_95:.3f}",
        f"{row.model_mb:.1f}",
        f"{row.cpu_ms:.1f}",
        row.emulator_note if near is None else _nearness(near),
        f"{low:.1f}" if low == high else f"{low:.1f}-{high:.1f}",
        "not measured" if row.device_ms is None else f"{row.device_ms:.1f}",
        f"{'keep' if keep else 'drop'}: {why}",
    ]


def _nearness(near: Fidelity) -> str:
    if not near.reference_count:
        return "float finds nothing there"
    shared = f", IoU {near.mean_iou:.3f}" if near.matched else ""
    least = min(near.sqnr_db.values())
    return f"{near.matched} of {near.reference_count}{shared}, least SQNR {least:.1f} dB"


def _as_json(row: CandidateResult, budget: Budget) -> dict[str, Any]:
    keep, why = row.verdict(budget)
    return {**asdict(row), "keep": keep, "why": why}


PHASE = Phase("benchmark", BenchmarkConfig, _needs, _run)
