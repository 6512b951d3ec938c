"""How many training crops a second OpenCV and torch make, each in a process of its own.

python training/tools/crop_rate.py                      # rendered RGB + thermal, 256 px
python training/tools/crop_rate.py --size 640 --device cuda

Two processes, one thread each, take turns; what is told is the CPU time of a crop on the CPU
and the time that passed on a GPU, from drawing to the batch that the network takes: the median
of all turns. "drawn" is the share of it before any pixel is touched. Memory is what the process
needed at its highest beyond what it held with all frames loaded, GPU memory what the batches
and the frames took there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import statistics
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

from windhover_training.config import Augmentation
from windhover_training.data.augment.apply import apply
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.rgbt_crops import RgbtSampler
from windhover_training.data.augment.samples import Sample
from windhover_training.data.render.live_scenes import render_samples
from windhover_training.data.render.rgbt_scenes import parts
from windhover_training.engine.batches import collate
from windhover_training.engine.frame_store import FrameStore
from windhover_training.engine.model import choose_device
from windhover_training.engine.render import CropRenderer
from windhover_training.fusion_config import RgbtAugmentation

KINDS = ("rgbt", "thermal")
#: Scales and chances of rgbt_n_stock.yaml and thermal_n_3.yaml.
_OF_BOTH = RgbtAugmentation(
    scale_near=(0.9, 1.35), scale_wide=(0.7, 2.0), wide_probability=0.3, on_object=0.75,
    blank_rgb=0.07, blank_thermal=0.14,
)  # fmt: skip
_OF_HEAT = Augmentation(on_object=0.6, fade=0.15, lamps=0.4)


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    way: str
    size: int
    batch: int
    scenes: int
    device: str


def _samplers(job: Job) -> dict[str, CropSampler]:
    train = next(part for part in parts(1) if part.name == "train")
    frames = [each for n in range(job.scenes) for each in render_samples(train, n, 2)]
    heat = [
        Sample(np.ascontiguousarray(f.pixels[..., 3]), f.boxes, f.classes, f.flight) for f in frames
    ]
    rng, weights = np.random.default_rng(0), [1.0] * 4
    return {
        "rgbt": RgbtSampler(frames, job.size, weights, _OF_BOTH, rng),
        "thermal": CropSampler(heat, job.size, weights, _OF_HEAT, rng),
    }


def _serve(job: Job, pipe: Connection) -> None:
    """Answer each kind with (ms a crop drawn, ms a crop in all), and at last with memory."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    device = choose_device(job.device)
    samplers = _samplers(job)
    renderer = CropRenderer(FrameStore(device, 0.9))
    clock = time.thread_time if device.type == "cpu" else time.perf_counter

    def turn(kind: str) -> tuple[float, float]:
        begun = clock()
        drawn = [samplers[kind].draw_params() for _ in range(job.batch)]
        between = clock()
        if job.way == "torch":
            collate([renderer.prepare(params) for params in drawn], device)
        else:
            collate([apply(params) for params in drawn], device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        each = 1000 / job.batch
        return (between - begun) * each, (clock() - begun) * each

    before = psutil.Process().memory_info().rss
    # The highest until now was that of rendering: 5 makes the kernel count anew.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    for kind in KINDS:
        turn(kind)
    pipe.send(None)
    while (kind := pipe.recv()) is not None:
        pipe.send(turn(kind))
    peak = _peak_bytes()
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    pipe.send({"mib": max(0, peak - before) >> 20, "gpu_mib": gpu >> 20})


def _peak_bytes() -> int:
    """Most memory that this process held since it began to count (Linux)."""
    rows = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (row,) = (each for each in rows if each.startswith("VmHWM:"))
    return int(row.split()[1]) * 1024


def measure(jobs: list[Job], turns: int) -> dict[str, dict[str, float]]:
    """Let the processes take turns.

    Returns:
        Of each way: crops a second and milliseconds to draw one of each kind, and MiB.
    """
    spawn = mp.get_context("spawn")
    pipes, processes = {}, []
    for job in jobs:
        here, there = spawn.Pipe()
        processes.append(spawn.Process(target=_serve, args=(job, there), daemon=True))
        processes[-1].start()
        there.close()
        pipes[job.way] = here
    for pipe in pipes.values():
        pipe.recv()
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(turns):
        for kind in KINDS:
            for way, pipe in pipes.items():
                pipe.send(kind)
                times.setdefault((way, kind), []).append(pipe.recv())
    found: dict[str, dict[str, float]] = {}
    for way, pipe in pipes.items():
        pipe.send(None)
        found[way] = dict(pipe.recv())
        for kind in KINDS:
            drawn, whole = zip(*times[way, kind], strict=True)
            found[way][f"{kind}_drawn_ms"] = round(statistics.median(drawn), 3)
            found[way][f"{kind}_crops_a_second"] = round(1000 / statistics.median(whole), 1)
    for process in processes:
        process.join()
    return found


def main() -> None:
    """Measure both ways and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="side of a crop, pixels")
    parser.add_argument("--batch", type=int, default=24, help="crops of a turn")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--scenes", type=int, default=3, help="rendered at first, two frames each")
    parser.add_argument("--device", default="cpu", help="of the torch way: cpu or cuda")
    given = parser.parse_args()
    jobs = [
        Job(way, given.size, given.batch, given.scenes, "cpu" if way == "opencv" else given.device)
        for way in ("opencv", "torch")
    ]
    found = measure(jobs, given.turns)
    print(f"{'':10}{'crops':10}{'crops a second':>16}{'drawing, ms':>13}{'MiB':>6}")
    for way, row in found.items():
        for kind in KINDS:
            rate, drawn = row[f"{kind}_crops_a_second"], row[f"{kind}_drawn_ms"]
            print(f"{way:10}{kind:10}{rate:>16.1f}{drawn:>13.3f}{row['mib']:>6.0f}")
    print(json.dumps({"jobs": [asdict(job) for job in jobs], "found": found}))


if __name__ == "__main__":
    main()
