"""Scenes that are rendered in other processes while training reads them.

Each split has a pool of so many scenes. Every so many steps the oldest makes way for the
next, so which scenes a step draws from depends on the step alone: a run that is resumed
renders those of its step again and goes on as it would have. Training waits for a scene
that is not ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

import cv2
import numpy as np

from windhover_sim import Scene
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.rgbt_crops import frame_sample
from windhover_training.data.augment.samples import Sample
from windhover_training.data.render.rgbt_scenes import (
    Part,
    draw_scene,
    ground_scale,
    parts,
    registered,
    truth_rows,
)
from windhover_training.fusion_config import SceneStream

#: Steps that threads may lag behind the newest that was asked for.
_LAG = 64


def render_samples(part: Part, number: int, frames: int) -> list[Sample]:
    """Some frames of one scene, evenly spread over it.

    Args:
        part: the split that the scene belongs to.
        number: of the scene, counted from the split's first.
        frames: how many.
    """
    seed = part.seeds.start + number
    config = draw_scene(seed, part)
    scene = Scene(config)
    samples = []
    for index in np.linspace(0, config.length - 1, frames).astype(int):
        frame = scene.render(int(index), "both")
        scale = ground_scale(frame.rgb_camera)
        samples.append(frame_sample(registered(frame), truth_rows(frame), f"scene-{seed}", scale))
    return samples


def _render_alone(part: Part, number: int, frames: int) -> list[Sample]:
    cv2.setNumThreads(1)  # there is a process a core
    return render_samples(part, number, frames)


class LiveScenes:
    """The scenes of one split that a step draws from. Several threads may ask at once."""

    def __init__(self, split: str, stream: SceneStream, executor: Executor) -> None:
        """Prepare; nothing is rendered before it is asked for.

        Args:
            split: ``train``, ``armed`` or ``clear``.
            stream: which scenes, and how many.
            executor: of :func:`~windhover_evaluation.fan_out.open_executor`.
        """
        (self._part,) = (part for part in parts(1, stream.textures) if part.name == split)
        self._stream, self._executor = stream, executor
        self._waiting: dict[int, Future[list[Sample]]] = {}
        self._lock = threading.Lock()

    def first(self, step: int) -> int:
        """Number of the oldest scene in the pool at a step."""
        return self._stream.first + step // self._stream.steps

    def at(self, step: int) -> list[Sample]:
        """Frames of the pool at a step, oldest scene first; waits until they are rendered."""
        first, count = self.first(step), self._stream.scenes
        with self._lock:
            # One ahead for each process, so that none of them is idle.
            for number in range(first, first + count + self._stream.jobs):
                if number not in self._waiting:
                    self._waiting[number] = self._executor.submit(
                        _render_alone, self._part, number, self._stream.frames
                    )
            wanted = [self._waiting[number] for number in range(first, first + count)]
            kept = first - 1 - _LAG // self._stream.steps
            for number in [each for each in self._waiting if each < kept]:
                del self._waiting[number]
        return [sample for future in wanted for sample in future.result()]


class LiveSampler:
    """A crop sampler whose pool of frames moves on with the steps."""

    def __init__(
        self, scenes: LiveScenes, begin: Callable[[list[Sample]], CropSampler], frames: int
    ) -> None:
        """Prepare.

        Args:
            scenes: that fill the pool.
            begin: a sampler over the first pool.
            frames: that the pool holds.
        """
        self._scenes, self._begin = scenes, begin
        self.frames = frames
        self._samplers: dict[int, CropSampler] = {}
        self._lock = threading.Lock()

    def at(self, step: int) -> CropSampler:
        """What draws the crops of a step."""
        first = self._scenes.first(step)
        with self._lock:
            if first not in self._samplers:
                # A sampler keeps its frames: only the last few pools are held.
                for old in sorted(self._samplers)[:-2]:
                    del self._samplers[old]
                self._samplers[first] = self._begin(self._scenes.at(step))
            return self._samplers[first]
