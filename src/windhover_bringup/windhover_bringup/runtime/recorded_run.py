"""Runs the composed process over a recorded source, and writes scores and report.

Needs windhover_evaluation, so commands import it when they run.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from windhover.errors import ConfigError
from windhover.progress import progress
from windhover_bringup.recording.outputs import OverlayVideoWriter, RunOutputs
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.run_messages import closing_line, opening_block
from windhover_bringup.scoring.scores import ScoringSpec, write_scored
from windhover_evaluation.report.baseline import Comparison
from windhover_ros.runner import StopRequest, ros, spin_in_threads

LOWER_BOUND = (
    "Detections are those that the chain published, so AP counts none below the model's own "
    "threshold and is a lower bound; 'windhover evaluate detections' gives the whole."
)


def run_and_report(
    settings: Config,
    out: Path,
    title: str,
    scoring: Callable[[Path], ScoringSpec],
    prepare: Callable[[Pipeline], None] | None = None,
) -> list[Comparison]:
    """Run the composed process over a recorded source and write all outputs.

    Args:
        settings: of all nodes; with ``rate`` 0 no frame is dropped.
        out: folder; what an earlier run left there is replaced.
        title: of the report.
        scoring: called with the folder after the run, says how to score it.
        prepare: called with the pipeline before it starts.

    Returns:
        The scores of the baseline beside the run's, where there is one.

    Raises:
        WindhoverError: an input is wrong, or a result can't be written.
    """
    # A stage that is scored must not be restarted in between.
    settings = settings.with_values("bringup", monitor=False)
    with StopRequest() as stop, ros():
        pipeline = Pipeline(settings)
        if prepare is not None:
            prepare(pipeline)
        clear_outputs(out, settings)
        outputs = RunOutputs(out, pipeline)
        video = OverlayVideoWriter(out, pipeline.rate_hz, pipeline.lossless)
        pipeline.tap(video.result)
        try:
            pipeline.start()
            after = f"{out / 'report.html'} and {out / 'overlay.mp4'}, once it is done"
            sys.stderr.write(f"{opening_block(pipeline, after)}\n")
            nodes = [*pipeline.nodes, *outputs.nodes]
            with spin_in_threads(nodes), progress("frames", pipeline.length) as bar:
                pipeline.wait(stop, lambda: bar.update(len(video.results), pipeline.length))
        finally:
            pipeline.close()
            outputs.close()
            video.close()
    with progress("scoring and drawing the report"):
        summary, compared = write_scored(outputs, video, pipeline, title, scoring(out))
    sys.stdout.write(f"{summary}\n{closing_line(pipeline)}\nwrote {out}\n")
    pipeline.check_lost_frames()
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
        raise ConfigError(f"{bag} exists and is not a run's recording; choose another --out")
    shutil.rmtree(bag)
