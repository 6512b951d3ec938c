"""``windhover demo``: a rendered clip through the whole chain, scored exactly."""

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
) -> None:
    """Fly a rendered scene through the chain; overlay, bag, scores and report in --out."""
    from windhover_bringup.cli.replay import NOT_WHOLE, run_and_report
    from windhover_bringup.runtime.settings import settings_of
    from windhover_bringup.scoring.scene_truth import TruthKeeper
    from windhover_bringup.scoring.scores import ScoringSpec

    uri = f"{scene}{'&' if '?' in scene else '?'}frames={frames}"
    settings = settings_of(None, uri, model, backend, rate=0.0)
    keeper = TruthKeeper()

    def prepare(pipeline: Pipeline) -> None:
        pipeline.camera.opener = keeper.open

    def judge(folder: Path) -> ScoringSpec:
        return ScoringSpec(keeper.write(folder), warnings=[NOT_WHOLE])

    run_and_report(settings, out, "Windhover demo", judge, prepare)
