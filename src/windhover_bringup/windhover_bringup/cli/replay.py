"""``windhover replay``: run a recording through the chain, and score it against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover_bringup.cli import options


def replay(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder or file, or any other source.")],
    out: Annotated[Path, typer.Option(help="Folder for overlay.mp4, bag/, metrics.json, report.")],
    model: options.GivenModel = None,
    truth: options.BagTruth = None,
    backend: options.GivenBackend = None,
    config: options.ConfigFile = None,
    rate: options.Rate = 0.0,
    start: options.Start = 0.0,
    duration: options.Duration = None,
    remap: options.Remap = None,
    label_map: options.LabelMap = None,
    operating_point: options.GivenOperatingPoint = None,
) -> None:
    """Replay a recording through the chain with its own stamps; by default no frame is dropped."""
    from windhover_bringup.runtime.bag_playback import BagPart, settings_of_bag
    from windhover_bringup.runtime.recorded_run import LOWER_BOUND, run_and_report
    from windhover_bringup.scoring.scores import ScoringSpec
    from windhover_evaluation.detection.categories import parse_mapping

    part = BagPart(start, duration, remap or [])
    settings = settings_of_bag(bag, part, "source", config, model, backend, rate, operating_point)
    spec = ScoringSpec(
        truth, part.is_part, warnings=[LOWER_BOUND], mapping=parse_mapping(label_map or [])
    )
    run_and_report(settings, out, f"Replay of {bag}", lambda _: spec)
