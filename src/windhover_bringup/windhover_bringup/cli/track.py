"""``windhover track``: the tracker on MOTChallenge detection files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover.progress import progress


def track(
    detections: Annotated[Path, typer.Option(help="MOTChallenge detection file (det.txt).")],
    out: Annotated[Path, typer.Option(help="Result file to write, in the same format.")],
    rate: Annotated[float, typer.Option(help="Frames per second.", min=0.01, max=10000.0)] = 30.0,
) -> None:
    """Run the tracker on a MOTChallenge detection file."""
    from windhover.tracking.motchallenge import track_file

    with progress("tracking") as bar:
        summary = track_file(detections, out, rate_hz=rate, progress=bar.update)
    typer.echo(
        f"{out}: {summary.tracks} tracks, {summary.boxes} boxes in {summary.frames} frames "
        f"({summary.seconds:.1f} s)"
    )
