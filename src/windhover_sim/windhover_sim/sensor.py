"""Models of the two cameras: optics, noise and exposure applied to an ideal picture."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.bands import row_bands
from windhover_sim.camera import Floats
from windhover_sim.camera_look import CameraLook
from windhover_sim.climate import Climate
from windhover_sim.config import SceneConfig
from windhover_sim.noise import fractal_noise

#: Counts of a linear radiometric Y16 stream: hundredths of a kelvin.
COUNTS_PER_KELVIN: Final = 100.0
ZERO_CELSIUS_K: Final = 273.15

#: Exposure, or the bolometer's time constant, seconds.
THERMAL_EXPOSURE_S: Final = 0.010
_RGB_EXPOSURE_S: Final = (0.002, 0.016)

# After the camera's own temporal filter and flat-field correction.
_NETD_K: Final = 0.035
_PIXEL_K: Final = 0.02
_COLUMN_K: Final = 0.03
_SHADING_K: Final = 0.35
_BLUR_PX: Final = 0.7


class ThermalSensor:
    """An uncooled microbolometer: soft optics, fixed pattern, temporal noise."""

    def __init__(self, config: SceneConfig, rng: np.random.Generator) -> None:
        width, height = config.thermal_size
        self._seed = int(rng.integers(2**31))
        self._noise = config.noise
        pattern = rng.standard_normal((height, width), np.float32) * _PIXEL_K
        pattern += rng.standard_normal((1, width), np.float32) * _COLUMN_K
        pattern += rng.standard_normal((height, 1), np.float32) * (0.5 * _COLUMN_K)
        shading = np.asarray(
            cv2.resize(fractal_noise(rng, 256, 2, 4, 1.0), (width, height)), np.float32
        )
        self._pattern = (pattern + _SHADING_K * shading) * np.float32(config.noise)

    def expose(self, celsius: NDArray[np.float32], blur: Floats, index: int) -> NDArray[np.uint16]:
        """Turn ideal temperatures into counts.

        Args:
            celsius: ``(H, W)``.
            blur: ``(2,)`` image motion while exposing, pixels.
            index: of the frame, which decides its temporal noise.

        Returns:
            ``(H, W)`` uint16, hundredths of a kelvin.
        """
        image = np.asarray(
            cv2.GaussianBlur(motion_blur(celsius, blur), (0, 0), _BLUR_PX), np.float32
        )
        if self._noise:
            rng = np.random.default_rng([self._seed, index])
            grain = rng.standard_normal(image.shape, np.float32)
            image += self._pattern + grain * np.float32(_NETD_K * self._noise)
        counts = (image + np.float32(ZERO_CELSIUS_K)) * np.float32(COUNTS_PER_KELVIN)
        return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)


class RgbSensor:
    """A small colour camera: gain rises as light falls, and noise with it.

    Attributes:
        exposure_s: seconds.
        lamps_lit: whether it is dark enough for street lamps.
    """

    def __init__(self, config: SceneConfig, climate: Climate, rng: np.random.Generator) -> None:
        self._seed = int(rng.integers(2**31))
        self._noise = config.noise
        dark = 1 - climate.daylight
        low, high = _RGB_EXPOSURE_S
        self.exposure_s = low + (high - low) * dark
        self.lamps_lit = climate.daylight < 0.3
        self._light = np.float32(0.24 + 0.76 * climate.daylight**0.5)
        warm = np.array([-0.10, 0.0, 0.10]) * climate.phase[2]
        cool = np.array([0.12, 0.0, -0.10]) * climate.phase[0]
        self._tint = (1 + warm + cool).astype(np.float32) * self._light
        self._grain = np.float32((1.6 + 5.0 * dark) * config.noise)
        # Reading noise from a bank at a random place is several times as fast
        # as drawing three channels for each frame.
        width, height = config.rgb_size
        self._bank = rng.standard_normal((height + 64, width + 64), np.float32)
        self._look = CameraLook.draw(rng, config.variety) if config.variety else None

    def expose(self, colour: NDArray[np.float32], blur: Floats, index: int) -> NDArray[np.uint8]:
        """Turn ideal colour into an image.

        Args:
            colour: ``(H, W, 3)`` BGR, 0..255 in full light.
            blur: ``(2,)`` image motion while exposing, pixels.
            index: of the frame, which decides its temporal noise.

        Returns:
            ``(H, W, 3)`` uint8 BGR.
        """
        sharp = cv2.GaussianBlur(motion_blur(colour, blur), (0, 0), 0.6)
        height, width = sharp.shape[:2]
        rng = np.random.default_rng([self._seed, index])
        places = [tuple(rng.integers(0, 64, 2).tolist()) for _ in range(3)]
        image = np.empty(sharp.shape, np.uint8)
        for rows in row_bands(height):
            band = sharp[rows] * self._tint
            if self._noise:
                noise = cv2.merge(
                    [self._bank[rows.start + y : rows.stop + y, x : x + width] for y, x in places]
                )
                band += noise * self._grain
            np.rint(band, out=band)
            np.clip(band, 0, 255, out=band)
            image[rows] = band
        return image if self._look is None else self._look.apply(image)


def motion_blur(image: NDArray[np.float32], blur: Floats) -> NDArray[np.float32]:
    """Average ``(H, W)`` or ``(H, W, C)`` along a motion of ``blur`` x, y pixels, centred."""
    length = float(np.hypot(*blur))
    if length < 0.4:
        return image
    half = int(np.ceil(np.abs(blur).max() / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, max(3, int(4 * length))):
        x, y = half + blur[0] * share, half + blur[1] * share
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
            for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
                if wx * wy > 0:
                    kernel[y0 + dy, x0 + dx] += wx * wy
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def as_nv12(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A colour picture as a camera gives it: luma, then interleaved chroma of half the size.

    Args:
        bgr: ``(H, W, 3)``, sides even.

    Returns:
        ``(1.5 H, W)``.
    """
    height, width = bgr.shape[:2]
    planar = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    chroma = planar[height:].reshape(2, -1).T.reshape(height // 2, width)
    return np.concatenate([planar[:height], chroma]).astype(np.uint8, copy=False)
