"""``windhover demo``: a rendered clip through the chain, scored against its exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover_bringup.cli import options

if TYPE_CHECKING:
    from windhover_bringup.runtime.composed import Pipeline


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is written.")] = Path(
        "out/demo"
    ),
    model: options.Model = "thermal-n",
    scene: Annotated[
        str, typer.Option(help="Scene to render.")
    ] = "scene:demo?seed=1&altitude=40&camera=thermal",
    frames: Annotated[int, typer.Option(help="Frames to render.", min=2, max=36000)] = 240,
    backend: options.GivenBackend = None,
    label_map: options.LabelMap = None,
) -> None:
    """Run a rendered scene through the chain; overlay, bag, scores and report go to --out."""
    from windhover_bringup.runtime.recorded_run import LOWER_BOUND, run_and_report
    from windhover_bringup.runtime.settings import settings_of
    from windhover_bringup.scoring.scene_truth import SceneTruthRecorder
    from windhover_bringup.scoring.scores import ScoringSpec
    from windhover_evaluation.detection.categories import parse_mapping

    mapping = parse_mapping(label_map or [])

    uri = f"{scene}{'&' if '?' in scene else '?'}frames={frames}"
    settings = settings_of(None, uri, model, backend, rate=0.0)
    recorder = SceneTruthRecorder()

    def prepare(pipeline: Pipeline) -> None:
        pipeline.camera.opener = recorder.open

    def scoring(folder: Path) -> ScoringSpec:
        return ScoringSpec(recorder.write(folder), warnings=[LOWER_BOUND], mapping=mapping)

    run_and_report(settings, out, "Windhover demo", scoring, prepare)
