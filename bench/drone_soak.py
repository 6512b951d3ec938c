"""The drone's config for two hours: whether memory stays flat and the recording whole.

    python -m bench.drone_soak [--minutes 120] [--rate 0.5] [--out bench/results/0.2.0]

``windhover up`` runs with config/qcs8550.yaml: both cameras, rgbt-n with its second look,
monitor and recorder in one process. The backend is the CPU, for there is no HTP here, and the
cameras are played: a scene with armed people is rendered once, RGB at 3840x2160 and turned to
NV12, thermal 640x512 as counts, and each frame is read into a buffer of its own, as a driver
gives it. The world runs slowly: a step of 1/30 s a frame, there and back.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.highlevel import AnyReader

from bench.table import ResultTable, add_out, save
from embedded.tidy import children_of

ROOT = Path(__file__).resolve().parents[1]
SIZE = (3840, 2160)
MOMENTS = 16
WARM_UP_MIN = 5.0
SCENE = "scene:demo?seed=4&altitude=40"


@dataclass(frozen=True, slots=True)
class DroneSoak:
    """Result of a run.

    Attributes:
        minutes: that it ran, after the first five.
        frames: detections that were published.
        rate_hz: of them.
        anon_mib: memory of the process and its children that no file backs, each minute:
            resident pages of files come and go with what else the machine does.
        growth_mib: from the first minute to the last, of the straight line that fits all of
            them best: a single minute is a frame or two more or less, of 12 MiB each.
        found: mean detections a frame.
        recorded: messages of each topic.
        gaps: frames whose detections are not in the recording.
        ended: exit status of ``windhover up``.
    """

    minutes: float
    frames: int
    rate_hz: float
    anon_mib: list[float]
    growth_mib: float
    found: float
    recorded: dict[str, int]
    gaps: int
    ended: int


class PlayedCamera:
    """Fits ``windhover.sources.base.Source``: frames of a folder at a rate, stamped with now."""

    length, live = None, True

    def __init__(self, folder: Path, camera: str, rate_hz: float) -> None:
        self.name, self.rate_hz = f"v4l2:///dev/{camera}", rate_hz
        self._files = sorted(folder.glob(f"{camera}-*.npy"))
        self._encoding = "nv12" if camera == "rgb" else "mono16"

    def __iter__(self) -> Iterator[Any]:
        from windhover.types import Frame

        period_ns = round(1e9 / self.rate_hz)
        there_and_back = [*self._files, *self._files[-2:0:-1]]
        # Both cameras take the same instants, as hardware sync makes them.
        tick = time.time_ns() // period_ns + 1
        index = 0
        while True:
            time.sleep(max(0.0, tick * period_ns / 1e9 - time.time()))
            image = np.load(there_and_back[tick % len(there_and_back)])
            yield Frame(image, self._encoding, tick * period_ns, "camera", index)
            index += 1
            tick = max(tick + 1, time.time_ns() // period_ns)

    def close(self) -> None:
        """Nothing is held."""


def draw(folder: Path) -> None:
    """Render both cameras' frames."""
    from windhover_sim.config import parse_scene_uri
    from windhover_sim.scene import Scene
    from windhover_sim.sensor import as_nv12

    width, height = SIZE
    scene = Scene(parse_scene_uri(f"{SCENE}&rgb_size={width}x{height}").config)
    for moment in range(MOMENTS):
        rgb, thermal = scene.render(moment, "rgb").rgb, scene.render(moment, "thermal").thermal
        assert rgb is not None
        assert thermal is not None
        np.save(folder / f"rgb-{moment:03d}.npy", as_nv12(np.asarray(rgb, np.uint8)))
        np.save(folder / f"thermal-{moment:03d}.npy", thermal)
        print(f"rendered {moment + 1} of {MOMENTS}", flush=True)


def config_of(folder: Path, rate_hz: float) -> Path:
    """config/qcs8550.yaml with what the rate and the missing hardware ask for."""
    config = yaml.safe_load((ROOT / "config/qcs8550.yaml").read_text(encoding="utf-8"))
    silence_s = min(60.0, 20 / rate_hz)
    changes: dict[str, dict[str, Any]] = {
        "rgb_camera": {"source": "v4l2:///dev/rgb"},
        "thermal_camera": {"source": "v4l2:///dev/thermal"},
        "detector": {"backend": "cpu"},
        # Neither the rate nor the latency of the device can be reached here.
        "monitor": {
            "min_rate_hz": 0.0,
            "max_latency_ms": 0.0,
            "silence_s": silence_s,
            "camera_silence_s": silence_s,
        },
    }
    for node, values in changes.items():
        config.setdefault(f"/**/{node}", {"ros__parameters": {}})["ros__parameters"].update(values)
    path = folder / "qcs8550.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def fly(frames: Path, rate_hz: float, words: list[str]) -> int:
    """The command itself, in the process that is observed, with the cameras played."""
    from windhover_bringup.cli import main as windhover
    from windhover_cameras import base

    def opened(uri: str, *_: object, **__: object) -> PlayedCamera:
        return PlayedCamera(frames, "rgb" if "rgb" in uri else "thermal", rate_hz)

    base.open_source = opened  # type: ignore[attr-defined, assignment]
    return windhover(words)


def anon_mib(pid: int) -> float:
    """Resident memory of a process and its children that no file backs."""
    kib = 0
    for each in (pid, *children_of(pid)):
        with suppress(OSError):
            lines = Path(f"/proc/{each}/status").read_text(encoding="utf-8").splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    return kib / 1024


def soak(folder: Path, minutes: float, rate_hz: float) -> DroneSoak:
    """Run, observe, end and read the recording."""
    frames, out = folder / "frames", folder / "out"
    if not frames.exists():
        frames.mkdir(parents=True)
        draw(frames)
    if out.exists():
        shutil.rmtree(out)
    words = ["up", "--config", str(config_of(folder, rate_hz)), "--out", str(out)]
    log = folder / "output.txt"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.drone_soak", "--fly", str(frames),
             "--rate", str(rate_hz), "--", *words],
            stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT,
        )  # fmt: skip
    try:
        time.sleep(WARM_UP_MIN * 60)
        begun, used = time.monotonic(), [anon_mib(process.pid)]
        while time.monotonic() - begun < minutes * 60 and process.poll() is None:
            time.sleep(60.0)
            used.append(anon_mib(process.pid))
            print(f"{len(used) - 1:4d} min {used[-1]:8.1f} MiB", flush=True)
        ran = (time.monotonic() - begun) / 60
    finally:
        process.send_signal(signal.SIGINT)
        ended = process.wait(120.0)
    recorded, found, gaps = read_back(out / "bag")
    count = recorded.get("/detections", 0)
    slope = float(np.polyfit(np.arange(len(used)), used, 1)[0]) if len(used) > 1 else 0.0
    growth = slope * (len(used) - 1)
    rate = count / ((ran + WARM_UP_MIN) * 60)
    return DroneSoak(ran, count, rate, used, growth, found, recorded, gaps, ended)


def read_back(bag: Path) -> tuple[dict[str, int], float, int]:
    """Messages of each topic, detections a frame, and tracks without detections or the reverse."""
    counts: dict[str, int] = {}
    stamps: dict[str, set[int]] = {"/detections": set(), "/tracks": set()}
    found = 0
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            counts[connection.topic] = counts.get(connection.topic, 0) + 1
            if connection.topic in stamps:
                message: Any = reader.deserialize(data, connection.msgtype)
                stamp = message.header.stamp
                stamps[connection.topic].add(stamp.sec * 10**9 + stamp.nanosec)
                if connection.topic == "/detections":
                    found += len(message.detections)
    gaps = len(stamps["/detections"] ^ stamps["/tracks"])
    return counts, found / max(1, counts.get("/detections", 0)), gaps


def table(soaked: DroneSoak) -> ResultTable:
    """The result as a table of one row."""
    images = sum(n for topic, n in soaked.recorded.items() if topic.endswith("/compressed"))
    row = (
        f"{soaked.minutes:.0f} min at {soaked.rate_hz:.2f} frames/s",
        str(soaked.frames),
        f"{soaked.found:.1f}",
        f"{soaked.anon_mib[0]:.1f} to {soaked.anon_mib[-1]:.1f}",
        f"{soaked.growth_mib:+.1f}",
        f"{soaked.recorded.get('/tracks', 0)} tracks, {images} images, {soaked.gaps} gaps",
        "yes" if soaked.ended == 0 else f"no, ended with {soaked.ended}",
    )
    return ResultTable(
        "The drone's config for hours: rendered 4K NV12 and thermal",
        "memory that no file backs, MiB",
        ("run", "frames", "found a frame", "memory", "growth (< 5 asked)", "recording", "intact"),
        [row],
        [
            "config/qcs8550.yaml with the cameras played and the backend cpu: rgbt-n with its "
            "second look, monitor and recorder in one process.",
            "Growth is that of the straight line through the memory of all minutes; five minutes "
            "before are not counted. A gap is a frame whose detections or tracks are missing.",
        ],
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=0.5, help="frames a second")
    parser.add_argument("--keep", type=Path, help="folder to work in, kept")
    parser.add_argument("--fly", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    add_out(parser)
    asked = parser.parse_args()
    if asked.fly:
        return fly(asked.fly, asked.rate, asked.words)
    with tempfile.TemporaryDirectory(prefix="windhover-") as folder:
        result = table(soak(asked.keep or Path(folder), asked.minutes, asked.rate))
    print(" | ".join(result.rows[0]))
    save({"drone-soak": result}, asked.out, "bench.drone_soak")
    return 0


if __name__ == "__main__":
    sys.exit(main())
