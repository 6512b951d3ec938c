"""Training images of a step: drawn ahead by threads, stacked into tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from windhover_training.data.augment.samples import (
    Boxes,
    Classes,
    Crop,
    HeldCrop,
    Pixels,
    ignored,
)

from .frame_store import send, upload
from .render import DeviceCrop

#: What a step draws: crops that are made, or that their device makes.
DrawnCrop = Crop | DeviceCrop
#: Step number -> this process's crops of the step.
DrawBatch = Callable[[int], Sequence[DrawnCrop]]


def collate(
    crops: Iterable[DrawnCrop], device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """Stack crops into the batch that Ultralytics' detection loss takes.

    Args:
        crops: all of one kind and size.
        device: where the batch is wanted; crops that a device makes are made on theirs.

    Returns:
        ``img`` (B, C, S, S) float 0..1 channels-last, ``batch_idx`` (M,), ``cls`` (M, 1)
        and ``bboxes`` (M, 4) as centre x, y, width, height in 0..1; ``ignored`` (K, 6) of
        objects with a class below 0: row in the batch, class, x1, y1, x2, y2 in pixels;
        ``held`` (H,) rows of the crops that are held near the start.
    """
    made: list[Crop] = []
    drawn: list[DeviceCrop] = []
    for crop in crops:
        if isinstance(crop, DeviceCrop):
            drawn.append(crop)
        else:
            made.append(crop)
    if drawn:
        images = drawn[0].renderer.render(drawn)
        truths = [(crop.params.boxes, crop.params.classes) for crop in drawn]
        held = [row for row, crop in enumerate(drawn) if crop.params.held]
    else:
        images = _stacked([crop[0] for crop in made], torch.device(device))
        truths = [(crop[1], crop[2]) for crop in made]
        held = [row for row, crop in enumerate(made) if isinstance(crop, HeldCrop)]
    height, width = images.shape[2:]
    return {"img": images, **_targets(truths, held, (width, height), torch.device(device))}


def _stacked(pictures: Sequence[Pixels], device: torch.device) -> torch.Tensor:
    """``(B, C, H, W)`` float 0..1, channels-last as the pictures are."""
    pixels = send(torch.from_numpy(np.stack(pictures)), device)
    pixels = pixels[..., None] if pixels.dim() == 3 else pixels
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    return images.contiguous(memory_format=torch.channels_last)


def _targets(
    truths: Sequence[tuple[Boxes, Classes]],
    held: Sequence[int],
    size: tuple[int, int],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """What is to be found in a batch, and what is not judged."""
    index, classes, boxes, unjudged = [], [], [], [np.empty((0, 6), np.float32)]
    for i, (every_box, every_label) in enumerate(truths):
        judged = every_label >= 0
        xyxy, labels = every_box[judged], every_label[judged]
        others = ignored(every_label[~judged])
        rows = np.stack([np.full(len(others), i), others], axis=1)
        unjudged.append(np.concatenate([rows, every_box[~judged]], axis=1).astype(np.float32))
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        xywh = np.concatenate([centre, xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        boxes.append(xywh / np.array(size * 2, np.float32))
        classes.append(labels)
        index.append(np.full(len(labels), i))
    return {
        "batch_idx": upload(np.concatenate(index).astype(np.float32), device),
        "cls": upload(np.concatenate(classes).astype(np.float32)[:, None], device),
        "bboxes": upload(np.concatenate(boxes).astype(np.float32), device),
        "ignored": upload(np.concatenate(unjudged), device),
        "held": upload(np.array(held, np.int64), device),
    }


class Prefetcher:
    """Draws the next steps' images in threads while this one is computed.

    What is drawn depends on the step alone, so it is the same however many threads there are.
    """

    def __init__(self, draw: DrawBatch, last: int, workers: int) -> None:
        """Prepare the threads.

        Args:
            draw: must be safe to call from several threads.
            last: number of steps; none beyond is drawn.
            workers: threads, each a step ahead; 0 draws when asked.
        """
        self._draw, self._last = draw, last
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._workers = workers
        self._waiting: dict[int, Future[Sequence[DrawnCrop]]] = {}

    def __call__(self, step: int) -> Sequence[DrawnCrop]:
        """The images of a step."""
        if self._pool is None:
            return self._draw(step)
        for wanted in range(step, min(step + self._workers + 1, self._last)):
            if wanted not in self._waiting:
                self._waiting[wanted] = self._pool.submit(self._draw, wanted)
        return self._waiting.pop(step).result()

    def close(self) -> None:
        """Drop what nobody will ask for."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
