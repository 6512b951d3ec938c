"""Fog, rain and defocus, applied to the ideal picture of a camera."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Camera
from windhover_sim.climate import Climate
from windhover_sim.config import SceneConfig

#: Extinction of full fog for visible light, 1/m: a quarter is left after 60 m.
_FOG_PER_M: Final = np.log(4.0) / 60.0
#: Long-wave infrared passes small droplets better than light does.
_THERMAL_SHARE: Final = 0.35
_FOG_BGR: Final = np.array([214.0, 212.0, 208.0], np.float32)
_STREAKS: Final = 700
_FAR_M: Final = 220.0


def apply_weather(
    image: NDArray[np.float32],
    camera: Camera,
    config: SceneConfig,
    climate: Climate,
    index: int,
    *,
    thermal: bool,
) -> NDArray[np.float32]:
    """Dim, streak and blur a picture according to the scene's weather.

    Args:
        image: ``(H, W)`` degrees Celsius or ``(H, W, 3)`` BGR in full light, before the sensor.
        camera: it was seen by.
        config: ``fog``, ``rain`` and ``defocus``; with all at 0 the image is returned as it is.
        climate: air temperature.
        index: of the frame, which decides where its rain streaks are.
        thermal: which kind of image it is.
    """
    if config.fog:
        beta = _FOG_PER_M * config.fog * (_THERMAL_SHARE if thermal else 1.0)
        left = np.exp(-beta * _distance(camera)).astype(np.float32)
        veil = np.float32(climate.air_c) if thermal else _FOG_BGR
        left = left if thermal else left[..., None]
        image = np.asarray(image * left + veil * (1 - left), np.float32)
    if config.rain:
        image = _rain(image, config, climate, index, thermal)
    if config.defocus:
        sigma = config.defocus * (0.5 if thermal else 1.0)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    return image


def _rain(
    image: NDArray[np.float32], config: SceneConfig, climate: Climate, index: int, thermal: bool
) -> NDArray[np.float32]:
    """Wet surfaces lose their warmth and some of their light; drops streak past the lens."""
    if thermal:
        air = np.float32(climate.air_c)
        return np.asarray(air + (image - air) * np.float32(1 - 0.4 * config.rain), np.float32)
    dulled = image * np.float32(1 - 0.25 * config.rain) + np.float32(18 * config.rain)
    rng = np.random.default_rng([config.seed, 5, index])
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    count = int(_STREAKS * config.rain)
    start = rng.uniform([0, 0], [width, height], (count, 2))
    slant = rng.normal(0.15, 0.04, count)
    length = rng.uniform(6, 26, count) * width / 1280
    stop = start + np.column_stack([slant * length, length])
    for a, b in zip(np.round(start * 8).astype(int), np.round(stop * 8).astype(int), strict=True):
        cv2.line(mask, a.tolist(), b.tolist(), 90, 1, cv2.LINE_AA, 3)
    share = (mask.astype(np.float32) / 255)[..., None]
    return np.asarray(dulled * (1 - share) + 205 * share, np.float32)


def _distance(camera: Camera) -> NDArray[np.float32]:
    """``(H, W)`` metres from the lens to the ground, no more than the far limit."""
    lens = camera.intrinsics
    columns, rows = np.meshgrid(np.linspace(0, lens.width, 33), np.linspace(0, lens.height, 25))
    ground = camera.to_ground(np.column_stack([columns.ravel(), rows.ravel()]))
    reach = np.hypot(*(ground - camera.position[:2]).T)
    slant = np.nan_to_num(np.hypot(reach, camera.position[2]), nan=_FAR_M, posinf=_FAR_M)
    coarse = np.minimum(slant, _FAR_M).reshape(25, 33).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (lens.width, lens.height)), np.float32)
