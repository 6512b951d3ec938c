"""What a run leaves in its folder: ``bag/`` and ``metrics.json``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError
from windhover.evaluation.files import write_json

from windhover_bringup.composed import Pipeline
from windhover_bringup.recorder import RunRecorder


class RunOutputs:
    """Records a run of the composed process.

    Args:
        folder: where to; made if need be.
        pipeline: not started yet.
        lossless: let the pipeline wait for the recorder.

    Raises:
        ConfigError: the folder can't be made, or holds a recording already.
    """

    def __init__(self, folder: Path, pipeline: Pipeline) -> None:
        self.folder = folder
        self._pipeline = pipeline
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"can't make {folder}: {error.strerror}; choose another") from None
        self.recorder = RunRecorder(
            folder / "bag",
            pipeline.camera_name,
            namespace=pipeline.namespace,
            threshold=pipeline.bundle.thresholds.score,
            fov_deg=pipeline.camera.params.fov_deg,
            lossless=pipeline.lossless,
        )
        pipeline.tap(self.recorder.result)

    def close(self) -> None:
        """Write what waits and the bag's index."""
        self.recorder.close()
        if self.recorder.error:
            sys.stderr.write(f"warning: {self.recorder.error}\n")

    def write_metrics(self) -> None:
        """Write ``metrics.json``.

        Raises:
            DataError: it can't be written.
        """
        write_json(self.folder / "metrics.json", self.metrics())

    def metrics(self) -> dict[str, Any]:
        """Rates, latencies and counts of the run, by stage."""
        return {
            "run": run_facts(self._pipeline),
            "latency_ms": latencies(self._pipeline),
            "recorder": {
                "bag": "bag",
                "images_left_out": self.recorder.images_left_out,
                "error": self.recorder.error,
            },
        }


def run_facts(pipeline: Pipeline) -> dict[str, Any]:
    """What was run, on what, and how many frames."""
    values = pipeline.detector.health.report().values
    return {
        "source": pipeline.camera.params.source,
        "model": values.get("model"),
        "model_hash": values.get("model_hash"),
        "backend": values.get("backend"),
        "device": values.get("device"),
        "frames": pipeline.tracker.health.frames.count,
        "frames_dropped": pipeline.link.dropped,
        "frames_refused": pipeline.detector.health.counter("frames_refused"),
        "frames_unreadable": pipeline.camera.health.counter("frames_unreadable"),
        "rate_hz": pipeline.tracker.health.frames.rate_hz(),
    }


def latencies(pipeline: Pipeline) -> dict[str, dict[str, float | int | None]]:
    """Latency of each stage in milliseconds, in the order in which they happen."""
    table: dict[str, dict[str, float | int | None]] = {}
    for node in (pipeline.camera, pipeline.detector, pipeline.tracker):
        for stage, summary in node.health.timings.summaries().items():
            name = f"{node.label}.{stage}" if stage == "publish" else stage
            table[name] = summary.as_dict()
    table["capture_to_tracks"] = pipeline.tracker.health.frames.summary().as_dict()
    return table
