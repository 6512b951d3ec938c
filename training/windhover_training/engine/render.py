"""Training images of drawn crops, made on the device that they are trained on.

Frames are windows in the device's memory (:class:`.frame_store.FrameStore`) or, those that do
not fit there, are cut by the threads that draw and sent as bytes. Then ``grid_sample`` warps
all crops at once, each camera on its own grid, and :mod:`.augment_ops` changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from windhover_training.data.augment.params import (
    ColourView,
    CropParams,
    ThermalView,
    invert,
    source_window,
)

from .augment_ops import change_colour, change_thermal, lay_colour, lay_thermal
from .frame_store import FrameStore, as_planes_last

View = ColourView | ThermalView
#: Columns and rows x1, y1, x2, y2.
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class DeviceCrop:
    """A drawn crop whose pixels its renderer makes.

    Attributes:
        params: what was drawn.
        renderer: of its images.
        frame: ``(H, W, C)`` uint8 on the device; None where it did not fit there.
        cut: then its window of the frame, ``(h, w, C)`` uint8 on the host.
        corner: x, y in the frame of that window.
    """

    params: CropParams
    renderer: CropRenderer
    frame: torch.Tensor | None = None
    cut: torch.Tensor | None = None
    corner: tuple[int, int] = (0, 0)


class CropRenderer:
    """Makes batches of crops on one device."""

    def __init__(self, store: FrameStore) -> None:
        """Prepare; ``store`` has the device and the frames that are on it."""
        self.store = store

    def prepare(self, params: CropParams) -> DeviceCrop:
        """Have a crop's frame on the device, or cut its window; any thread may ask."""
        sample = params.sample
        frame = self.store.frame(sample)
        if frame is not None:
            return DeviceCrop(params, self, frame)
        views = [view for view in (params.rgb, params.thermal) if not isinstance(view, int)]
        bounds = np.array([_window(params, view) for view in views if view is not None])
        if not len(bounds):
            return DeviceCrop(params, self)
        (x1, y1), (x2, y2) = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        cut = np.array(as_planes_last(sample.pixels)[y1:y2, x1:x2])
        return DeviceCrop(params, self, cut=torch.from_numpy(cut), corner=(int(x1), int(y1)))

    def render(self, crops: Sequence[DeviceCrop]) -> torch.Tensor:
        """Images of some crops of the same size and the same cameras.

        Returns:
            ``(B, C, S, S)`` float32 on the device, whole levels divided by 255.
        """
        up = self._up
        images = self._blank(crops)
        colour = [
            (row, crop, crop.params.rgb)
            for row, crop in enumerate(crops)
            if isinstance(crop.params.rgb, ColourView)
        ]
        if colour:
            x = self._warped([(crop, view) for _, crop, view in colour])
            for own, (_, crop, _) in zip(x, colour, strict=True):
                lay_colour(own, crop.params.patches, up)
            x = change_colour(x, [view.change for _, _, view in colour], up)
            images[up(np.array([row for row, _, _ in colour])), :3] = x
        thermal = [
            (row, crop, crop.params.thermal)
            for row, crop in enumerate(crops)
            if isinstance(crop.params.thermal, ThermalView)
        ]
        if thermal:
            x = self._warped([(crop, view) for _, crop, view in thermal])[:, 0]
            for own, (_, crop, _) in zip(x, thermal, strict=True):
                lay_thermal(own, crop.params.patches, up)
            x = change_thermal(x, [view.change for _, _, view in thermal], up)
            images[up(np.array([row for row, _, _ in thermal])), -1] = x
        return images.round_().clamp_(0, 255).div_(255)

    def _up(self, array: NDArray[Any]) -> torch.Tensor:
        return self.store.send(torch.from_numpy(np.array(array)))

    def _blank(self, crops: Sequence[DeviceCrop]) -> torch.Tensor:
        """Images that show the level of each camera that is blank."""
        size, first = crops[0].params.size, crops[0].params
        channels = 3 * (first.rgb is not None) + (first.thermal is not None)
        levels = np.zeros((len(crops), channels), np.float32)
        for row, crop in enumerate(crops):
            if isinstance(crop.params.rgb, int):
                levels[row, :3] = crop.params.rgb
            if isinstance(crop.params.thermal, int):
                levels[row, -1] = crop.params.thermal
        flat = self._up(levels)[:, :, None, None].expand(-1, -1, size, size)
        return flat.contiguous(memory_format=torch.channels_last)

    def _warped(self, views: Sequence[tuple[DeviceCrop, View]]) -> torch.Tensor:
        """One camera's windows of the frames, warped into crops.

        Returns:
            ``(n, C, S, S)`` float32, whole levels 0..255.
        """
        size = views[0][0].params.size
        windows = [_window(crop.params, view) for crop, view in views]
        fill = self._up(np.array([crop.params.fill or 0.0 for crop, _ in views], np.float32))
        fill = fill[:, None, None, None]
        source = self._stacked(views, windows, fill)
        inverse = np.stack([invert(view.matrix) for _, view in views])
        inverse[:, :, 2] -= np.array(windows)[:, :2]
        columns = self._up(inverse.astype(np.float32)).permute(1, 2, 0)[..., None, None]
        place = self._up(np.arange(size, dtype=np.float32))
        across, along = place[None, None, :], place[None, :, None]
        grid = [p * across + q * along + shift for p, q, shift in columns]
        repeated = [crop.params.fill is None for crop, _ in views]
        if any(repeated):
            grid = self._held_inside(grid, windows, repeated)
        tall, wide = source.shape[2:]
        scaled = [(2 * grid[0] + 1) / wide - 1, (2 * grid[1] + 1) / tall - 1]
        # Outside there is 0, which is the fill's level.
        warped = functional.grid_sample(source - fill, torch.stack(scaled, 3), align_corners=False)
        return (warped + fill).round_().clamp_(0, 255)

    def _stacked(
        self,
        views: Sequence[tuple[DeviceCrop, View]],
        windows: Sequence[Window],
        fill: torch.Tensor,
    ) -> torch.Tensor:
        """Windows in the upper left corners of ``(n, C, h, w)`` float32, the rest filled."""
        first, stop = views[0][1].channels
        bounds = np.array(windows)
        wide, tall = (int(side) for side in (bounds[:, 2:] - bounds[:, :2]).max(axis=0))
        out = fill.expand(-1, stop - first, tall, wide).contiguous()
        streamed = [row for row, (crop, _) in enumerate(views) if crop.cut is not None]
        sent = iter(())
        if streamed:
            staged = torch.zeros((len(streamed), tall, wide, stop - first), dtype=torch.uint8)
            for slot, row in zip(staged, streamed, strict=True):
                part = _part(*views[row], windows[row])
                slot[: part.shape[0], : part.shape[1]] = part
            sent = iter(self.store.send(staged))
        for slot, (crop, view), window in zip(out, views, windows, strict=True):
            x1, y1, x2, y2 = window
            own = _part(crop, view, window) if crop.cut is None else next(sent)
            slot[:, : y2 - y1, : x2 - x1] = own[: y2 - y1, : x2 - x1].permute(2, 0, 1)
        return out

    def _held_inside(
        self, grid: Sequence[torch.Tensor], windows: Sequence[Window], repeated: Sequence[bool]
    ) -> list[torch.Tensor]:
        """Positions of crops that repeat their frame's border, moved onto it."""
        bounds = np.array(windows, np.float32)
        last = np.where(np.array(repeated)[:, None], bounds[:, 2:] - bounds[:, :2] - 1, np.inf)
        first = np.where(repeated, 0.0, -np.inf)
        low = self._up(first.astype(np.float32))[:, None, None]
        high = self._up(last.astype(np.float32)).T[..., None, None]
        return [
            torch.minimum(torch.maximum(x, low), most) for x, most in zip(grid, high, strict=True)
        ]


def _window(params: CropParams, view: View) -> Window:
    height, width = params.sample.pixels.shape[:2]
    return source_window(view.matrix, params.size, width, height)


def _part(crop: DeviceCrop, view: View, window: Window) -> torch.Tensor:
    """``(h, w, C)`` bytes of a window, where the crop's frame is."""
    x1, y1, x2, y2 = window
    (left, top), (first, stop) = crop.corner, view.channels
    source = crop.frame if crop.cut is None else crop.cut
    assert source is not None
    return source[y1 - top : y2 - top, x1 - left : x2 - left, first:stop]
