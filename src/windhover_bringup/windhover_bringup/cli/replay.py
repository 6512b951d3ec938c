"""``windhover replay``: run_and_report a recording again, and score it against truth."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from windhover.errors import ConfigError
from windhover.sources import is_bag
from windhover_bringup.cli import options
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover_bringup.runtime.composed import Pipeline
    from windhover_bringup.runtime.config import Config
    from windhover_bringup.scoring.scores import ScoringSpec
    from windhover_evaluation.report.baseline import Comparison

NOT_WHOLE = (
    "Detections are those that the chain published, so AP counts none below the model's own "
    "threshold and is a lower bound; 'windhover evaluate detections' gives the whole."
)


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
) -> None:
    """Run a recording through the chain with its own stamps; by default losing no frame."""
    from windhover_bringup.scoring.scores import ScoringSpec

    cut = Cut(start, duration, remap or [])
    settings = settings_of_bag(bag, cut, "source", config, model, backend, rate)
    judge = ScoringSpec(truth, cut.is_part, warnings=[NOT_WHOLE])
    run_and_report(settings, out, f"Replay of {bag}", lambda _: judge)


@dataclass(frozen=True)
class Cut:
    """What is played of a bag.

    Attributes:
        start: seconds into it.
        duration: seconds from there; ``None`` to its end.
        remap: ``FROM:=TO`` where TO is a camera's image topic.
    """

    start: float = 0.0
    duration: float | None = None
    remap: Sequence[str] = ()

    @property
    def is_part(self) -> bool:
        """Whether some of its time is left out."""
        return self.start > 0.0 or self.duration is not None

    def source(self, bag: str) -> str:
        """The source that plays it.

        Args:
            bag: as given on the command line.

        Raises:
            ConfigError: a rule is none, or the source is no bag.
        """
        query = {"start": f"{self.start:g}"} if self.start > 0.0 else {}
        if self.duration is not None:
            query["duration"] = f"{self.duration:g}"
        topics = dict(_camera_topic(rule) for rule in self.remap)
        if not query and not topics:
            return bag
        if not is_bag(bag):
            raise ConfigError(f"{bag} is no rosbag2; --start, --duration and --remap are for bags")
        uris = {
            camera: f"rosbag:{bag}?{urlencode({**query, 'topic': topic})}"
            for camera, topic in topics.items()
        }
        if len(uris) == 2:
            return f"rgb={uris['rgb']},thermal={uris['thermal']}"
        return next(iter(uris.values()), f"rosbag:{bag}?{urlencode(query)}")


def settings_of_bag(
    bag: str,
    cut: Cut,
    stamps: str,
    config: str | None,
    model: str | None,
    backend: str | None,
    rate: float,
) -> Config:
    """The config of a run that plays a bag.

    Args:
        bag: as given on the command line.
        cut: what is played of it.
        stamps: ``now``, or ``source`` as recorded.
        config: parameter file, or the name of one; ``None`` for the defaults.
        model: bundle; ``None`` leaves the config's.
        backend: of the detector; ``None`` leaves the config's.
        rate: of the recording; 0 loses no frame.

    Raises:
        WindhoverError: an input is wrong.
    """
    from windhover_bringup.runtime.settings import settings_of

    settings: Config = settings_of(config, cut.source(bag), model, backend, rate=rate)
    for camera in ("rgb", "thermal"):
        settings = settings.replaced(f"{camera}_camera", stamps=stamps)
    return settings


def _camera_topic(rule: str) -> tuple[str, str]:
    name, _, target = rule.partition(":=")
    match = re.fullmatch(r"/?(?:\S+/)?camera/(rgb|thermal)/image_raw(?:/compressed)?", target)
    if not name or match is None:
        raise ConfigError(
            f"--remap {rule!r}: write /topic/in/the/bag:=camera/thermal/image_raw (or camera/rgb/"
            "...); topics that are published are renamed by --ros-args -r tracks:=other"
        )
    return match[1], name


def run_and_report(
    settings: Config,
    out: Path,
    title: str,
    judge: Callable[[Path], ScoringSpec],
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
    from windhover_bringup.recording.outputs import OverlayVideoWriter, RunOutputs
    from windhover_bringup.runtime.composed import Pipeline
    from windhover_bringup.scoring.scores import write_scored
    from windhover_ros.runner import StopRequest, ros, spinning

    # What is scored is not started anew in between.
    settings = settings.replaced("bringup", monitor=False)
    with StopRequest() as stop, ros():
        pipeline: Pipeline = Pipeline(settings)
        if prepare is not None:
            prepare(pipeline)
        clear_outputs(out, settings)
        outputs = RunOutputs(out, pipeline)
        show = OverlayVideoWriter(out, pipeline.rate_hz, pipeline.lossless)
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
    pipeline.report_lost_stages()
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
