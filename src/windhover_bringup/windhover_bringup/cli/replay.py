"""``windhover replay``: fly a recording again, and score it against truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windhover.errors import ConfigError
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover_bringup.composed import Pipeline
    from windhover_bringup.config import Config

NOT_WHOLE = (
    "Detections are those that the chain published, so AP counts none below the model's own "
    "threshold and is a lower bound; 'windhover evaluate detections' gives the whole."
)


def replay(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder or file, or any other source.")],
    out: Annotated[Path, typer.Option(help="Folder for overlay.mp4, bag/, metrics.json, report.")],
    model: Annotated[
        str | None, typer.Option(help="Bundle folder, or its name in models/.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="COCO JSON whose images are the bag's, in their order.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="auto, cpu, qnn or dlc.")] = None,
    config: Annotated[
        str | None, typer.Option(help="ROS parameter file, or the name of one in config/.")
    ] = None,
) -> None:
    """Run a recording through the chain with its own stamps, losing no frame."""
    from windhover_bringup.settings import settings_of

    settings: Config = settings_of(config, bag, model, backend, rate=0.0)
    for camera in ("rgb", "thermal"):
        settings = settings.replaced(f"{camera}_camera", stamps="source")
    fly(settings, out, f"Replay of {bag}", truth=lambda _: truth)


def fly(settings: Config, out: Path, title: str, truth: Any, prepare: Any = None) -> None:
    """Run the composed process over a recorded source and write all outputs.

    Args:
        settings: with ``rate`` 0.
        out: folder; what an earlier run left there is replaced.
        title: of the report.
        truth: called with the folder after the run, gives the truth file or ``None``.
        prepare: called with the pipeline before it starts.

    Raises:
        WindhoverError: an input is wrong, or a result can't be written.
    """
    from windhover_bringup.composed import Pipeline
    from windhover_bringup.outputs import RunOutputs, Show
    from windhover_bringup.scores import write_scored
    from windhover_ros.runner import StopRequest, ros, spinning

    # A source that waits for its slowest stage has no silence to be watched for.
    settings = settings.replaced("bringup", monitor=False)
    with StopRequest() as stop, ros():
        pipeline: Pipeline = Pipeline(settings)
        if prepare is not None:
            prepare(pipeline)
        clear_outputs(out, settings)
        outputs = RunOutputs(out, pipeline)
        show = Show(out, pipeline.rate_hz)
        pipeline.tap(show.result)
        try:
            pipeline.start()
            with spinning(pipeline.nodes), progress("frames", pipeline.length) as bar:
                pipeline.wait(stop, lambda: bar.update(len(show.results), pipeline.length))
        finally:
            pipeline.close()
            outputs.close()
            show.close()
    with progress("scoring and drawing the report"):
        summary = write_scored(outputs, show, pipeline, title, truth(out), [NOT_WHOLE])
    typer.echo(summary)
    typer.echo(f"wrote {out}")
    pipeline.complain_of_lost()


def clear_outputs(out: Path, settings: Config) -> None:
    """Remove an earlier run's bag from its folder, and nothing else.

    Raises:
        ConfigError: ``bag`` there is no recording, or is what is to be read.
    """
    bag = out / "bag"
    if not bag.exists():
        return
    sources = {str(settings[f"{camera}_camera"].get("source", "")) for camera in ("rgb", "thermal")}
    if any(source and Path(source).resolve() == bag.resolve() for source in sources):
        raise ConfigError(f"{bag} is the recording to be read; choose another --out")
    extra = [p for p in bag.iterdir() if p.suffix != ".mcap" and p.name != "metadata.yaml"]
    if not bag.is_dir() or extra:
        raise ConfigError(f"{bag} is there and is no recording of a run; choose another --out")
    shutil.rmtree(bag)
