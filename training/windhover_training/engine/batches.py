"""Training images of a step: drawn ahead by threads, stacked into tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from windhover_training.data.augment.crops import Crop, ignored
from windhover_training.data.augment.real_rgb import HeldCrop

#: Step number -> this process's crops of the step.
DrawBatch = Callable[[int], list[Crop]]


def collate(crops: Iterable[Crop], device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Stack crops into the batch that Ultralytics' detection loss takes.

    Returns:
        ``img`` (B, C, S, S) float 0..1 channels-last, ``batch_idx`` (M,), ``cls`` (M, 1)
        and ``bboxes`` (M, 4) as centre x, y, width, height in 0..1; ``ignored`` (K, 6) of
        objects with a class below 0: row in the batch, class, x1, y1, x2, y2 in pixels;
        ``held`` (H,) rows of the crops that are held near the start.
    """
    crops = list(crops)
    held = [row for row, crop in enumerate(crops) if isinstance(crop, HeldCrop)]
    images, index, classes, boxes, unjudged = [], [], [], [], [np.empty((0, 6), np.float32)]
    for i, (pixels, every_box, every_label) in enumerate(crops):
        judged = every_label >= 0
        xyxy, labels = every_box[judged], every_label[judged]
        others = ignored(every_label[~judged])
        rows = np.stack([np.full(len(others), i), others], axis=1)
        unjudged.append(np.concatenate([rows, every_box[~judged]], axis=1).astype(np.float32))
        height, width = pixels.shape[:2]
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        images.append(torch.from_numpy(np.ascontiguousarray(planes)))
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        size = np.array((width, height, width, height), np.float32)
        boxes.append(np.concatenate([centre, xyxy[:, 2:] - xyxy[:, :2]], axis=1) / size)
        classes.append(labels)
        index.append(np.full(len(labels), i))
    stacked = torch.stack(images).to(device).float().div_(255)
    return {
        "img": stacked.contiguous(memory_format=torch.channels_last),
        "batch_idx": torch.from_numpy(np.concatenate(index)).float().to(device),
        "cls": torch.from_numpy(np.concatenate(classes)).float()[:, None].to(device),
        "bboxes": torch.from_numpy(np.concatenate(boxes)).float().to(device),
        "ignored": torch.from_numpy(np.concatenate(unjudged)).to(device),
        "held": torch.tensor(held, dtype=torch.int64, device=device),
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
        self._waiting: dict[int, Future[list[Crop]]] = {}

    def __call__(self, step: int) -> Sequence[Crop]:
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
