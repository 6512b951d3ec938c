"""``windhover up``: run the chain from camera to tracks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.progress import progress
from windhover_bringup.cli import options

if TYPE_CHECKING:
    from windhover_bringup.runtime.config import Config


def up(
    config: options.ConfigFile = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Folder, image, video, bag, v4l2:///dev/video0, gst:PIPELINE or scene:NAME; "
            "rgb=URI,thermal=URI for a model of both cameras."
        ),
    ] = None,
    model: options.GivenModel = None,
    backend: options.GivenBackend = None,
    operating_point: options.GivenOperatingPoint = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a recording (bag/) and metrics.json.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="End after so many frames.", min=1)] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Speed of recorded frames; 0 = as fast as possible, losing none (in one process "
            "only).",
            min=0,
        ),
    ] = None,
    node_per_process: Annotated[
        bool, typer.Option("--node-per-process", help="A process for each node.")
    ] = False,
) -> None:
    """Run source, detector and tracker as ROS nodes until the source ends or Ctrl-C."""
    from windhover_bringup.runtime.settings import settings_of

    settings = settings_of(
        config, source, model, backend, frames, rate, operating_point=operating_point
    )
    if node_per_process:
        from windhover_bringup.runtime.processes import run_processes

        run_processes(settings, out)
        return
    _run_composed(settings, out)


def _run_composed(settings: Config, out: Path | None) -> None:
    from windhover_bringup.recording.outputs import RunOutputs
    from windhover_bringup.runtime.composed import Pipeline
    from windhover_bringup.runtime.run_messages import closing_line, opening_block
    from windhover_ros.runner import StopRequest, ros, spin_in_threads

    with StopRequest(last=True) as stop, ros():
        pipeline = Pipeline(settings)
        outputs = RunOutputs(out, pipeline, keep=True) if out else None
        try:
            pipeline.start()
            typer.echo(opening_block(pipeline), err=True)
            total = pipeline.length
            nodes = [*pipeline.nodes, *(outputs.nodes if outputs else [])]
            with spin_in_threads(nodes), progress("frames", total) as bar:

                def show() -> None:
                    frames = pipeline.tracker.health.frames
                    bar.update(frames.count, total)
                    bar.note(pipeline.fault() or f"{frames.rate_hz():.1f} Hz")

                pipeline.wait(stop, show)
        finally:
            pipeline.close()
            if outputs is not None:
                outputs.close()
    typer.echo(closing_line(pipeline))
    if outputs is not None:
        outputs.write_metrics()
        typer.echo(f"wrote {outputs.folder}")
    pipeline.check_lost_frames()
