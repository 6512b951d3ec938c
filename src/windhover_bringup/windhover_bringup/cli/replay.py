"""``windhover replay``: fly a recording again, and score it against truth."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from windhover.errors import ConfigError
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover.evaluation.baseline import Comparison
    from windhover_bringup.composed import Pipeline
    from windhover_bringup.config import Config
    from windhover_bringup.scores import Judge

NOT_WHOLE = (
    "Detections are those that the chain published, so AP counts none below the model's own "
    "threshold and is a lower bound; 'windhover evaluate detections' gives the whole."
)


RateOption = Annotated[
    float,
    typer.Option(
        help="1 = at the recording's own pace, newest frame wins; 0 = as fast as possible, every "
        "frame processed and two runs alike to the byte.",
        min=0.0,
        max=100.0,
    ),
]
StartOption = Annotated[float, typer.Option(help="Seconds into the recording to begin.", min=0.0)]
DurationOption = Annotated[
    float | None, typer.Option(help="Seconds to play from there; default to the end.", min=0.0)
]
RemapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--remap",
        help="A bag's image topic as a camera's: /cam/image:=camera/thermal/image_raw. "
        "(Topics that are published: --ros-args -r tracks:=other.)",
    ),
]


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
    rate: RateOption = 0.0,
    start: StartOption = 0.0,
    duration: DurationOption = None,
    remap: RemapOption = None,
) -> None:
    """Run a recording through the chain with its own stamps; by default losing no frame."""
    from windhover_bringup.scores import Judge
    from windhover_bringup.settings import settings_of

    source = part_of(bag, start, duration, remap or [])
    settings: Config = settings_of(config, source, model, backend, rate=rate)
    for camera in ("rgb", "thermal"):
        settings = settings.replaced(f"{camera}_camera", stamps="source")
    part = start > 0.0 or duration is not None
    judge = Judge(truth, part, warnings=[NOT_WHOLE])
    fly(settings, out, f"Replay of {bag}", lambda _: judge)


def part_of(bag: str, start: float, duration: float | None, remap: Sequence[str]) -> str:
    """The source of a part of a bag, or of topics of it under other names.

    Args:
        bag: as given on the command line.
        start: seconds into it.
        duration: seconds from there; ``None`` to its end.
        remap: ``FROM:=TO`` where TO is a camera's image topic.

    Raises:
        ConfigError: a rule is none, or the source is no bag.
    """
    query = {"start": f"{start:g}"} if start > 0.0 else {}
    if duration is not None:
        query["duration"] = f"{duration:g}"
    topics = dict(_camera_topic(rule) for rule in remap)
    if not query and not topics:
        return bag
    if not _is_bag(bag):
        raise ConfigError(f"{bag} is no rosbag2; --start, --duration and --remap are for bags")
    uris = {
        camera: f"rosbag:{bag}?{urlencode({**query, 'topic': topic})}"
        for camera, topic in topics.items()
    }
    if len(uris) == 2:
        return f"rgb={uris['rgb']},thermal={uris['thermal']}"
    return next(iter(uris.values()), f"rosbag:{bag}?{urlencode(query)}")


def _camera_topic(rule: str) -> tuple[str, str]:
    name, _, target = rule.partition(":=")
    match = re.fullmatch(r"/?(?:\S+/)?camera/(rgb|thermal)/image_raw(?:/compressed)?", target)
    if not name or match is None:
        raise ConfigError(
            f"--remap {rule!r}: write /topic/in/the/bag:=camera/thermal/image_raw (or camera/rgb/"
            "...); topics that are published are renamed by --ros-args -r tracks:=other"
        )
    return match[1], name


def _is_bag(bag: str) -> bool:
    path = Path(bag)
    return path.suffix in {".mcap", ".db3", ".bag"} or any(
        next(path.glob(pattern), None) for pattern in ("metadata.yaml", "*.mcap", "*.db3")
    )


def fly(
    settings: Config,
    out: Path,
    title: str,
    judge: Callable[[Path], Judge],
    prepare: Callable[[Pipeline], None] | None = None,
) -> list[Comparison]:
    """Run the composed process over a recorded source and write all outputs.

    Args:
        settings: of all nodes; with ``rate`` 0 no frame is left out.
        out: folder; what an earlier run left there is replaced.
        title: of the report.
        judge: called with the folder after the run, says what to score it by.
        prepare: called with the pipeline before it starts.

    Returns:
        The scores of the baseline beside the run's, where there is one.

    Raises:
        WindhoverError: an input is wrong, or a result can't be written.
    """
    from windhover_bringup.composed import Pipeline
    from windhover_bringup.outputs import RunOutputs, Show
    from windhover_bringup.scores import write_scored
    from windhover_ros.runner import StopRequest, ros, spinning

    # What is scored is not started anew in between.
    settings = settings.replaced("bringup", monitor=False)
    with StopRequest() as stop, ros():
        pipeline: Pipeline = Pipeline(settings)
        if prepare is not None:
            prepare(pipeline)
        clear_outputs(out, settings)
        outputs = RunOutputs(out, pipeline)
        show = Show(out, pipeline.rate_hz, pipeline.lossless)
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
        summary, compared = write_scored(outputs, show, pipeline, title, judge(out))
    typer.echo(summary)
    typer.echo(f"wrote {out}")
    pipeline.complain_of_lost()
    return compared


def clear_outputs(out: Path, settings: Config) -> None:
    """Remove an earlier run's bag from its folder, and nothing else.

    Raises:
        ConfigError: ``bag`` there is no recording, or is what is to be read.
    """
    bag = out / "bag"
    if not bag.exists():
        return
    sources = {str(settings[f"{camera}_camera"].get("source", "")) for camera in ("rgb", "thermal")}
    paths = {source.removeprefix("rosbag:").partition("?")[0] for source in sources}
    if any(path and bag.resolve() in (p := Path(path).resolve(), p.parent) for path in paths):
        raise ConfigError(f"{bag} is the recording to be read; choose another --out")
    extra = [p for p in bag.iterdir() if p.suffix != ".mcap" and p.name != "metadata.yaml"]
    if not bag.is_dir() or extra:
        raise ConfigError(f"{bag} is there and is no recording of a run; choose another --out")
    shutil.rmtree(bag)
