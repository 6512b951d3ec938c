"""``windhover demo``: a rendered clip through the chain, scored against its exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover_bringup.cli import options

if TYPE_CHECKING:
    from windhover_bringup.runtime.composed import Pipeline


# To which frames of the RGB camera are reduced; a smaller scene's stay as they are.
_DETECT_WIDTH = 1280
_LOOKS_TWICE_SIZE = "3840x2160"
# By day, with armed people, others who carry what looks like a weapon, and some with nothing.
_LOOKS_TWICE_SCENE = "scene:demo?seed=1&altitude=40&time=day&people=6&armed=4&lookalikes=4"
_LOOKS_TWICE_FRAMES = 60
_SCENE = "scene:demo?seed=1&altitude=40"
_FRAMES = 240


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is written.")] = Path(
        "out/demo"
    ),
    model: options.Model = "rgbt-n",
    scene: Annotated[
        str,
        typer.Option(
            help=f"Scene to render. Default: {_LOOKS_TWICE_SCENE} for a model that looks twice, "
            f"else {_SCENE}."
        ),
    ] = "",
    rgb_size: Annotated[
        str,
        typer.Option(
            help="Size of the RGB camera's frames, WIDTHxHEIGHT. Frames of more than 1280 columns "
            "are reduced to that, and a model that looks twice cuts chips from the full ones. "
            f"Default: {_LOOKS_TWICE_SIZE} for such a model, else as the scene has it."
        ),
    ] = "",
    frames: Annotated[
        int | None,
        typer.Option(
            help=f"Frames to render. Default: {_LOOKS_TWICE_FRAMES} for a model that looks twice, "
            f"else {_FRAMES}.",
            min=2,
            max=36000,
        ),
    ] = None,
    backend: options.GivenBackend = None,
    label_map: options.LabelMap = None,
) -> None:
    """Run a rendered scene through the chain; overlay, bag, scores and report go to --out."""
    from windhover.model.bundle import Bundle
    from windhover_bringup.runtime.recorded_run import LOWER_BOUND, run_and_report
    from windhover_bringup.runtime.settings import settings_of
    from windhover_bringup.scoring.scene_truth import SceneTruthRecorder
    from windhover_bringup.scoring.scores import ScoringSpec
    from windhover_evaluation.detection.categories import parse_mapping

    mapping = parse_mapping(label_map or [])

    looks_twice = Bundle.load(model).second_look is not None
    scene = scene or (_LOOKS_TWICE_SCENE if looks_twice else _SCENE)
    rgb_size = rgb_size or (_LOOKS_TWICE_SIZE if looks_twice else "")
    frames = frames or (_LOOKS_TWICE_FRAMES if looks_twice else _FRAMES)
    keys = [f"frames={frames}", *([f"rgb_size={rgb_size}"] if rgb_size else [])]
    uri = f"{scene}{'&' if '?' in scene else '?'}{'&'.join(keys)}"
    settings = settings_of(None, uri, model, backend, rate=0.0)
    settings = settings.with_values("rgb_camera", detect_width=_DETECT_WIDTH)
    recorder = SceneTruthRecorder()

    def prepare(pipeline: Pipeline) -> None:
        pipeline.camera.opener = recorder.open

    def scoring(folder: Path) -> ScoringSpec:
        truth = recorder.write(folder, _DETECT_WIDTH)
        return ScoringSpec(truth, warnings=[LOWER_BOUND], mapping=mapping)

    run_and_report(settings, out, "Windhover demo", scoring, prepare)
