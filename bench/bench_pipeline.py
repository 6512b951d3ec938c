"""Everything but inference, and the cost of a process per node.

First part: one 1280x720 frame from the bytes of its message to the bytes of its
results, with 100 objects, in one thread, without a ROS graph: conversion, letterbox,
decode and NMS of prepared raw heads, tracking, building both messages.

Second part: the same nodes run the same clip in one process and in a process
each, both over DDS. Overhead is the cost beyond reading, detecting and tracking: in
CPU time, which is valid on a busy machine too, and in latency.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.heads import crowded_heads
from bench.row import Row, median, p99, time_alternately
from windhover.imaging.formats import decode_image, to_channels
from windhover.imaging.letterbox import Letterbox
from windhover.model.decode import Decoder
from windhover.model.nms import nms
from windhover.tracking import make_tracker
from windhover.types import Detections, Tracks

OBJECTS = 100
HEIGHT, WIDTH, INPUT = 720, 1280, 640
REPEATS, WARM_UP = 200, 20
RATE_HZ = 15
MEASURE_S = 12.0


def measure() -> list[Row]:
    """Both parts."""
    return [*_all_but_inference(), *_overhead()]


class _FrameSteps:
    """One frame's work, step by step, with the state that a node keeps between frames."""

    def __init__(self) -> None:
        from windhover_ros.messages import serialize_results

        self.heads = crowded_heads(objects=OBJECTS, size=INPUT)
        self.labels = self.heads.manifest.labels
        self.data = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3, np.uint8)
        self.canvas = np.empty((INPUT, INPUT, 3), np.uint8)
        self.letterbox = Letterbox((HEIGHT, WIDTH), (INPUT, INPUT))
        self.decoder = Decoder(self.heads.manifest, 0.25)
        self.tracker = make_tracker()
        self.stamp_ns = 10**18
        self.write = serialize_results
        self.found = self.decode()
        self.tracks = self.track()

    def convert(self) -> NDArray[np.uint8]:
        """Message bytes to an image in the model's channels."""
        image, encoding = decode_image(self.data, "bgr8", HEIGHT, WIDTH, WIDTH * 3, False)
        return to_channels(image, encoding, "rgb")

    def fit(self) -> None:
        """Letterbox to the model's input."""
        self.letterbox.apply(self.convert(), out=self.canvas)

    def decode(self) -> Detections:
        """Raw heads to detections in source pixels."""
        found = self.decoder.decode(self.heads.outputs)
        kept = found[nms(found.boxes, found.scores, found.class_ids, 0.6, 300)]
        self.found = Detections(self.letterbox.to_source(kept.boxes), kept.scores, kept.class_ids)
        return self.found

    def track(self) -> Tracks:
        """Advance the tracker by a frame of the same objects."""
        self.stamp_ns += 33_000_000
        self.tracks = self.tracker.update(self.found, self.stamp_ns)
        return self.tracks

    def build(self) -> int:
        """The bytes of both messages."""
        detections = self.write(self.stamp_ns, "rgb_camera", self.found, self.labels)
        tracks = self.write(self.stamp_ns, "rgb_camera", self.tracks, self.labels)
        return len(detections) + len(tracks)


def _all_but_inference() -> list[Row]:
    frame = _FrameSteps()
    steps: dict[str, Callable[[], object]] = {
        "conversion and letterbox": frame.fit,
        "decode and NMS": frame.decode,
        "tracking": frame.track,
        "both messages": frame.build,
    }
    times = time_alternately(list(steps.values()), REPEATS, WARM_UP)
    case = f"{WIDTH}x{HEIGHT} in, {INPUT} model, {len(frame.found)} detections"
    total = np.sum(times, axis=0)
    rows = [Row("all but inference", case, median(total), p99(total), max_ms=6.0)]
    rows += [
        Row(f"  {name}", case, median(each), p99(each))
        for name, each in zip(steps, times, strict=True)
    ]
    return rows


def _overhead() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="windhover-bench-") as name:
        folder = Path(name)
        model, frames = _make_inputs(folder)
        config = folder / "config.yaml"
        config.write_text(
            "/**/rgb_camera:\n  ros__parameters: {loop: true}\n"
            "/**/bringup:\n  ros__parameters: {overlay: false}\n"
            "/**/detector:\n  ros__parameters: {cpu_threads: 1}\n"
        )
        arguments = ["--config", config, "--source", frames, "--model", model]
        arguments += ["--rate", RATE_HZ / 30]
        bare = _bare_cpu_ms(model, frames)
        composed = _run_chain(arguments)
        apart = _run_chain([*arguments, "--node-per-process"])
    case = f"{WIDTH}x{HEIGHT} bgr8, composed process"
    return [
        Row(
            part="overhead a frame, CPU",
            case=case,
            median_ms=composed.cpu_ms - bare,
            p99_ms=float("nan"),
            peer="a process per node",
            peer_median_ms=apart.cpu_ms - bare,
            min_ratio=3.0,
            note=f"mean CPU time of all processes less that of a bare loop over the same source, "
            f"detector and tracker ({bare:.1f} ms)",
        ),
        Row(
            part="overhead a frame, latency",
            case=case,
            median_ms=composed.latency_ms,
            p99_ms=float("nan"),
            peer="a process per node",
            peer_median_ms=apart.latency_ms,
            min_ratio=3.0,
            note="capture to tracks less detection and tracking; grows where other work "
            "keeps the cores busy",
        ),
    ]


def _bare_cpu_ms(model: Path, frames: Path) -> float:
    """CPU milliseconds a frame of reading, detecting and tracking, with no ROS."""
    from windhover.model.detector import Detector
    from windhover.sources import open_source

    count = round(RATE_HZ * MEASURE_S)
    tracker = make_tracker()
    with Detector.open(model, "cpu", threads=1) as detector:
        source = open_source(frames, loop=True)
        for frame, number in zip(source, range(count + 10), strict=False):
            if number == 10:
                before = time.process_time()
            tracker.update(detector.detect(frame), frame.stamp_ns)
        return (time.process_time() - before) / count * 1e3


def _make_inputs(folder: Path) -> tuple[Path, Path]:
    from windhover_sim.blob_bundle import build_blob_bundle

    # A small input: inference is subtracted anyway, and must not fill the machine.
    build_blob_bundle(folder / "model", height=96, width=160, channels="rgb")
    frames = folder / "frames"
    frames.mkdir()
    for index in range(8):
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        image[100:228, 100 + 20 * index : 228 + 20 * index] = 230
        cv2.imwrite(str(frames / f"{index}.bmp"), image)
    return folder / "model", frames


@dataclass(frozen=True, slots=True)
class ChainCost:
    """What a frame costs in one way to run the chain.

    Attributes:
        cpu_ms: CPU time a frame of all its processes, mean.
        latency_ms: capture to tracks, less detection and tracking, median.
    """

    cpu_ms: float
    latency_ms: float


def _run_chain(arguments: Sequence[Any]) -> ChainCost:
    with _running(arguments) as pid:
        values, cpu_ms = _listen(pid)
    worked = sum(
        float(values["detector"][f"{stage}_p50_ms"])
        for stage in ("preprocess", "inference", "postprocess")
    )
    worked += float(values["tracker"]["tracking_p50_ms"])
    latency = float(values["tracker"]["capture_to_result_p50_ms"]) - worked
    return ChainCost(cpu_ms, latency)


def _cpu_s(pid: int) -> float:
    """CPU time so far of a process and its children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = " ".join((task / "children").read_text() for task in tasks).split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_s(int(child)) for child in children)


@contextmanager
def _running(arguments: Sequence[Any]) -> Iterator[int]:
    command = [sys.executable, "-m", "windhover_bringup", "up", *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        if child.returncode != 0:
            raise RuntimeError(err.decode()[-500:])


def _listen(pid: int) -> tuple[dict[str, dict[str, str]], float]:
    """The nodes' diagnostics after some seconds, and CPU milliseconds a frame."""
    from diagnostic_msgs.msg import DiagnosticArray

    from windhover_ros.runner import ros

    latest: dict[str, dict[str, str]] = {}

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            latest[status.name] = {item.key: item.value for item in status.values}

    def frames() -> int:
        return int(latest.get("tracker", {}).get("frames", "0"))

    with ros([]):
        import rclpy

        node = rclpy.create_node("bench")
        node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
        while frames() < 2 * RATE_HZ:
            rclpy.spin_once(node, timeout_sec=0.2)
        first, cpu, started = frames(), _cpu_s(pid), time.monotonic()
        # Until a report after the time is up, so that frames and CPU time go together.
        seen = first
        while time.monotonic() - started < MEASURE_S or frames() == seen:
            seen = frames()
            rclpy.spin_once(node, timeout_sec=0.2)
        spent = _cpu_s(pid) - cpu
        node.destroy_node()
    return latest, spent / (frames() - first) * 1e3


def _isolate() -> None:
    from embedded.domain import isolate

    if "ROS_DOMAIN_ID" not in os.environ:
        isolate()


_isolate()
