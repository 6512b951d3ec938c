"""What a run of the composed process leaves in its folder."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError, DataError
from windhover.files import write_json
from windhover.health.latency import LatencySummary
from windhover.health.level import Level
from windhover.health.metrics import FORMAT, latency_metrics
from windhover.imaging.display import draw_results
from windhover.imaging.video import VideoWriter
from windhover.machine import machine_facts
from windhover.types import Detections, Frame, Tracks
from windhover_bringup.recording.recorder import RecorderNode, RecorderParams
from windhover_bringup.recording.run_recorder import RunRecorder
from windhover_bringup.recording.topics import RunTopics
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.plan import free_names, recorder_values
from windhover_ros.params import check

EXAMPLES = 6


class RunOutputs:
    """Writes ``bag/`` and ``metrics.json`` of a run.

    Args:
        folder: where to; made if need be.
        pipeline: not started yet.
        keep: leave an earlier run's files alone, and write ``bag_1`` and
            ``metrics_1.json`` beside them.

    Attributes:
        folder: where to.
        nodes: to be served beside the pipeline's.

    Raises:
        ConfigError: the folder can't be made.
    """

    def __init__(self, folder: Path, pipeline: Pipeline, keep: bool = False) -> None:
        self.folder = folder
        self._pipeline = pipeline
        bag, self._metrics_file = free_names(folder) if keep else ("bag", "metrics.json")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"can't make {folder}: {error.strerror}; choose another") from None
        nodes = {str(camera.camera): camera for camera in pipeline.cameras}
        params = check(RecorderParams, pipeline.config["recorder"], "recorder")
        self.recorder = RunRecorder(
            folder / bag,
            {name: camera.lens for name, camera in nodes.items()},
            RunTopics.of_nodes(pipeline.detector, pipeline.tracker, nodes),
            threshold=pipeline.detector.thresholds_for(pipeline.bundle).score,
            lossless=pipeline.lossless,
            jpeg_quality=params.jpeg_quality,
            preview=params.thermal_preview,
            report=self._report,
        )
        pipeline.tap(self.recorder.result)
        if len(nodes) > 1:
            for name, camera in nodes.items():
                camera.outputs.append(self.recorder.camera_sink(name))
        self.nodes: list[RecorderNode] = []
        # Health and diagnostics hold times: a run that loses no frame would never give the
        # same bytes twice.
        if not pipeline.lossless:
            values = recorder_values(pipeline.config)
            node = RecorderNode(values, pipeline.namespace, self.recorder.message)
            node.bring_up()
            self.nodes.append(node)

    def close(self) -> None:
        """Write what waits and the bag's index."""
        for node in self.nodes:
            node.close()
        self.recorder.close()

    def _report(self, text: str, is_error: bool) -> None:
        sys.stderr.write(f"{'warning: ' if is_error else ''}{text}\n")
        monitor = self._pipeline.monitor
        if monitor is not None and is_error:
            monitor.health.problem("recording", Level.ERROR, text)
        elif monitor is not None:
            monitor.health.clear_problem("recording")

    def metrics(self, **parts: Any) -> dict[str, Any]:
        """What metrics.json holds of any run.

        Args:
            **parts: more parts of it, such as ``detection``.
        """
        facts = run_facts(self._pipeline)
        # How many were not recorded, since the disk was slower than the cameras.
        facts["images_left_out"] = str(self.recorder.images_left_out)
        return {
            "format": FORMAT,
            "run": facts,
            **latency_metrics(stage_latencies(self._pipeline), facts["backend"]),
            **parts,
        }

    def write_metrics(self, **parts: Any) -> None:
        """Write ``metrics.json``, or ``metrics_1.json`` where that exists and is kept.

        Raises:
            DataError: it can't be written.
        """
        write_json(self.folder / self._metrics_file, self.metrics(**parts))


def run_facts(pipeline: Pipeline) -> dict[str, str]:
    """What was run, on what, and how many frames."""
    values = pipeline.detector.health.report().values
    health = pipeline.tracker.health
    return {
        "source": ", ".join(dict.fromkeys(c.params.source for c in pipeline.cameras)),
        "model": values.get("model", ""),
        "model_hash": values.get("model_hash", ""),
        "backend": values.get("backend", ""),
        "device": values.get("device", ""),
        "score_threshold": _score_threshold(pipeline),
        "frames": str(health.frames.count),
        "frames_dropped": str(pipeline.link.dropped),
        "frames_refused": str(pipeline.detector.health.counter("frames_refused")),
        "frames_unreadable": str(
            sum(camera.health.counter("frames_unreadable") for camera in pipeline.cameras)
        ),
        **{key: values[key] for key in _SECOND_LOOK if key in values},
        **(pipeline.pairing.facts() if pipeline.pairing else {}),
        **machine_facts(),
    }


#: What diagnostics say of a second look.
_SECOND_LOOK = ("second_look", "looks", "chips_dropped", "chip_scale")


def _score_threshold(pipeline: Pipeline) -> str:
    """What a detection's score must exceed, for each label where they differ."""
    scores = pipeline.detector.least_scores(pipeline.bundle)
    if len(set(scores)) == 1:
        return f"{scores[0]:g}"
    return ", ".join(f"{n} {s:g}" for n, s in zip(pipeline.labels, scores, strict=True))


def stage_latencies(pipeline: Pipeline) -> dict[str, LatencySummary]:
    """Latency of each stage, in the order in which they happen.

    ``publish`` is that of tracks; ``total`` is from frame in to tracks out;
    ``capture_to_tracks`` from the frame's stamp to the same, where frames were played
    at their pace with stamps of now.
    """
    detector, tracker = pipeline.detector.health.timings, pipeline.tracker.health.timings
    stages = {"source": pipeline.camera.health.timings["source"]}
    if pipeline.pairing:
        stages["register"] = pipeline.pairing.health.timings["register"]
    names = ("preprocess", "inference", "postprocess", "second_look")
    stages |= {name: detector[name] for name in names}
    stages |= {"tracking": tracker["tracking"], "publish": tracker["publish"]}
    stages |= {"total": pipeline.total}
    if pipeline.camera.params.stamps == "now" and not pipeline.lossless:
        stages["capture_to_tracks"] = pipeline.capture
    return {name: stats.summary() for name, stats in stages.items() if stats.count}


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What was found in one frame.

    Attributes:
        index: of the frame in its source.
        stamp_ns: of the frame.
        size: width and height of the frame, pixels.
        detections: of the frame.
        tracks: of the frame.
    """

    index: int
    stamp_ns: int
    size: tuple[int, int]
    detections: Detections
    tracks: Tracks


class OverlayVideoWriter:
    """Draws a run into ``overlay.mp4`` and keeps its results and examples for the report.

    Drawing has its own thread. The pipeline waits for it where no frame may be dropped;
    otherwise frames that it can't keep up with are missing from the video.

    Args:
        folder: where to.
        rate_hz: nominal frames a second of the video.
        lossless: let the pipeline wait.
    """

    def __init__(self, folder: Path, rate_hz: float, lossless: bool = True) -> None:
        self.results: list[FrameResult] = []
        self.examples: list[tuple[int, NDArray[np.uint8]]] = []
        self.error: DataError | None = None
        self._stride = 1
        self._lossless = lossless
        self._video = VideoWriter(folder / "overlay.mp4", rate_hz)
        self._queue: queue.Queue[tuple[Frame, Tracks, tuple[str, ...]] | None] = queue.Queue(16)
        self._thread = threading.Thread(target=self._run, name="overlay-video", daemon=True)
        self._thread.start()

    def result(
        self, frame: Frame, detections: Detections, tracks: Tracks, labels: tuple[str, ...]
    ) -> None:
        """Take one frame's results."""
        size = (frame.image.shape[1], frame.image.shape[0])
        self.results.append(FrameResult(frame.index, frame.stamp_ns, size, detections, tracks))
        with contextlib.suppress(queue.Full):
            self._queue.put((frame, tracks, labels), block=self._lossless)

    def close(self) -> None:
        """Finish the video.

        Raises:
            DataError: it could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        self._video.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self.error is None:
                try:
                    self._draw(*item)
                except DataError as error:
                    self.error = error
                # Whatever it is: were this thread gone, the pipeline would wait for it for ever.
                except Exception as error:
                    self.error = DataError(f"the video ended: {type(error).__name__}: {error}")

    def _draw(self, frame: Frame, tracks: Tracks, labels: tuple[str, ...]) -> None:
        picture = draw_results(frame, tracks, labels)
        number = self._video.count
        self._video.write(picture, frame.stamp_ns)
        # Evenly spread examples without knowing how many frames will come.
        if number % self._stride == 0:
            self.examples.append((frame.index, picture))
            if len(self.examples) > 2 * EXAMPLES:
                self.examples = self.examples[::2]
                self._stride *= 2
