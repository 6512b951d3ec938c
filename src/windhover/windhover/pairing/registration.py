"""Warps thermal pictures to the RGB grid and merges both to B, G, R, T.

With lenses, the pose between the cameras, altitude and attitude each frame has a
mapping through the ground plane. Whatever is unknown is replaced, and reported: the
altitude by the nominal one, the calibration by one fixed homography, and without
that by equal fields of view.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.calibration import CameraCalibration
from windhover.errors import CalibrationError
from windhover.geometry import Floats, Lens, ray_map
from windhover.imaging.agc import ToneConfig, ToneMapper
from windhover.imaging.formats import to_bgr, to_gray8
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.types import Frame, FullFrame, RgbtFrame

Picture = NDArray[np.uint8]
_Size = tuple[int, int]

#: Value outside the thermal camera's view, and in a frame without thermal.
BLANK = 0

_STEP = 16
#: Thermal pixels by which a mapping may be off before it is computed again.
_REBUILD_PX = 0.05
#: Outside of any picture, and not NaN, which interpolation would spread.
_OUTSIDE = -1e4


class ThermalWarp:
    """Warps 8-bit thermal pictures to the RGB grid.

    The mapping is exact at every sixteenth pixel and interpolated between, and is kept
    while the drone moves so little that no pixel would change.

    Args:
        rgb: lens of the grid.
        thermal: lens of the pictures.
    """

    def __init__(self, rgb: Lens, thermal: Lens) -> None:
        self._rgb = rgb
        self._thermal = thermal
        # One more point before the first pixel and after the last on each axis.
        across = np.arange(-(-rgb.width // _STEP) + 2) * _STEP - _STEP / 2 - 0.5
        down = np.arange(-(-rgb.height // _STEP) + 2) * _STEP - _STEP / 2 - 0.5
        x, y = np.meshgrid(across, down)
        self._shape = x.shape
        self._rays = rgb.rays(np.column_stack([x.ravel(), y.ravel()]))
        self._max_slope = _max_slope(thermal)
        self._points: Floats | None = None
        self._fine = np.empty((x.shape[0] * _STEP, x.shape[1] * _STEP, 2), np.float32)
        # A view without the outer points; OpenCV takes it without a copy.
        self._map = self._fine[_STEP : _STEP + rgb.height, _STEP : _STEP + rgb.width]
        self.rebuilt = 0

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` of the output."""
        return self._rgb.size

    def apply(self, thermal: Picture, between: Floats, out: Picture | None = None) -> Picture:
        """Warp one picture.

        Args:
            thermal: ``(h, w)`` uint8 of the thermal lens's size.
            between: ``(3, 3)`` that takes RGB rays to thermal rays
                (:func:`~windhover.geometry.ray_map`).
            out: ``(H, W)`` uint8 to write into.

        Returns:
            ``(H, W)`` uint8; 0 outside the thermal camera's view.

        Raises:
            CalibrationError: the picture has another size.
        """
        if thermal.shape != (self._thermal.height, self._thermal.width):
            raise CalibrationError(
                f"a thermal picture of {thermal.shape[1]}x{thermal.shape[0]} does not go with "
                f"a calibration for {self._thermal.width}x{self._thermal.height}; calibrate at "
                "that size, or set the camera to the other"
            )
        self._update(between)
        warped = cv2.remap(  # type: ignore[call-overload]
            thermal,
            self._map,
            None,
            cv2.INTER_LINEAR,
            dst=out,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=BLANK,
        )
        return np.asarray(warped, np.uint8)

    def _update(self, between: Floats) -> None:
        rays = self._rays @ between.T
        if np.isfinite(self._max_slope):
            with np.errstate(divide="ignore", invalid="ignore"):
                rays[:, :2] *= np.minimum(
                    1.0, self._max_slope * rays[:, 2] / np.hypot(rays[:, 0], rays[:, 1])
                )[:, None]
        points = self._thermal.project(rays)
        unseen = np.isnan(points).any(axis=1)
        points = np.nan_to_num(points, nan=_OUTSIDE).clip(_OUTSIDE, -_OUTSIDE)
        if self._points is not None and np.abs(points - self._points).max() < _REBUILD_PX:
            return
        self._points = points
        self.rebuilt += 1
        rows, cols = self._shape
        coarse = points.reshape(rows, cols, 2).astype(np.float32)
        size = cols * _STEP, rows * _STEP
        cv2.resize(coarse, size, self._fine, interpolation=cv2.INTER_LINEAR)
        if unseen.any():
            # Interpolated towards a point that is not seen, the map would cross the picture.
            near = unseen.reshape(rows, cols).astype(np.float32)
            self._fine[cv2.resize(near, size, interpolation=cv2.INTER_LINEAR) > 0.0] = _OUTSIDE


def _max_slope(lens: Lens) -> float:
    """Largest slope of a ray for which a lens's distortion is valid.

    Beyond its corners the polynomial turns back, and would map a second picture
    around the first. A fisheye lens has its limit in its model.
    """
    if lens.is_ideal or lens.fisheye:
        return np.inf
    width, height = lens.width - 1, lens.height - 1
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    return 1.05 * float(np.hypot(*lens.rays(corners)[:, :2].T).max())


def merge_rgbt(bgr: Picture, thermal: Picture | None) -> Picture:
    """Merge four planes.

    Args:
        bgr: ``(H, W, 3)`` uint8.
        thermal: ``(H, W)`` uint8 on the same grid; ``None`` = blank.

    Returns:
        ``(H, W, 4)`` uint8 B, G, R, T.
    """
    four = cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA)
    plane = np.full(bgr.shape[:2], BLANK, np.uint8) if thermal is None else thermal
    return np.asarray(cv2.insertChannel(plane, four, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Pose:
    """The drone's altitude and attitude at one instant.

    Attributes:
        altitude_m: of the RGB camera over the ground; ``None`` = unknown.
        down: ``(3,)`` straight down in the RGB camera's frame.
    """

    altitude_m: float | None
    down: Floats


class Registration:
    """Makes one B, G, R, T frame of a pair.

    Args:
        geometry: calibration of the two cameras; ``None`` = unknown, so that equal
            fields of view are assumed.
        nominal_altitude_m: assumed where the altitude is unknown.
        width: columns of the output; 0 = those of the RGB picture.
        tone: mapping of thermal counts to grey, as the model was trained with.

    Attributes:
        in_use: how the last frame was registered, in words.
        substituted: what was missing for exact registration; empty if nothing was.
    """

    def __init__(
        self,
        geometry: RgbtCalibration | FixedHomography | None,
        nominal_altitude_m: float = 40.0,
        width: int = 0,
        tone: ToneConfig | None = None,
    ) -> None:
        self.geometry = geometry
        self.in_use = "none yet"
        self.substituted = ""
        self._nominal_m = nominal_altitude_m
        self._width = width
        self._warp: ThermalWarp | None = None
        self._made_for: tuple[_Size, _Size, _Size | None] | None = None
        self._fixed: Floats | None = None
        self._tone = ToneMapper(tone)
        self._gray_cache: tuple[Frame, Picture] | None = None
        self._camera: tuple[RgbtCalibration, _Size, CameraCalibration] | None = None

    def use(self, geometry: RgbtCalibration | FixedHomography | None) -> None:
        """Register by another calibration from the next frame on."""
        self.geometry = geometry
        self._made_for = None

    @property
    def rebuilt(self) -> int:
        """How often a mapping was computed."""
        return self._warp.rebuilt if self._warp else 0

    def frame(self, pair: RgbtFrame, pose: Pose) -> Frame:
        """Register a pair.

        Args:
            pair: its thermal frame may be ``None``: T is then 0.
            pose: of the drone when it was taken.

        Returns:
            An ``8UC4`` frame with the stamp, frame id and index of the RGB frame, and the
            RGB camera's full frame where there is a larger one.

        Raises:
            CalibrationError: a picture is not of the size that the calibration is for.
            EncodingError: a picture is not what its encoding says.
        """
        rgb = pair.rgb
        bgr = self._fit(to_bgr(rgb.image, rgb.encoding))
        thermal = None
        if pair.thermal is not None:
            size = rgb.width, rgb.height
            thermal = self.warp(self._gray(pair.thermal), size, pose, full_size_of(rgb))
        image = merge_rgbt(bgr, thermal)
        full = rgb.full
        if full is None and rgb.width > image.shape[1]:
            full = FullFrame(np.asarray(rgb.image, np.uint8), rgb.encoding)
        return Frame(image, "8UC4", rgb.stamp_ns, rgb.frame_id, rgb.index, full)

    def warp(
        self,
        grey: Picture,
        rgb_size: tuple[int, int],
        pose: Pose,
        full_size: tuple[int, int] | None = None,
    ) -> Picture:
        """Warp a thermal picture to the output's grid.

        Args:
            grey: ``(h, w)`` uint8.
            rgb_size: ``(width, height)`` of the RGB picture.
            pose: of the drone.
            full_size: of the picture that it was reduced from, for which the calibration may
                be.

        Raises:
            CalibrationError: a picture is not of the size that the calibration is for.
        """
        sizes = rgb_size, (grey.shape[1], grey.shape[0]), full_size
        if sizes != self._made_for:
            self._prepare(*sizes)
        assert self._warp is not None
        return self._warp.apply(grey, self._between(pose))

    def out_size(self, rgb_size: tuple[int, int]) -> tuple[int, int]:
        """``(width, height)`` of the output for an RGB picture's."""
        width, height = rgb_size
        return (self._width, round(height * self._width / width)) if self._width else rgb_size

    def camera(
        self, rgb_size: tuple[int, int], full_size: tuple[int, int] | None = None
    ) -> CameraCalibration | None:
        """The output's lens for an RGB picture's size; ``None`` where it is unknown.

        Args:
            rgb_size: ``(width, height)`` of the RGB picture.
            full_size: as :meth:`warp` takes it.
        """
        geometry = self.geometry
        if not isinstance(geometry, RgbtCalibration):
            return None
        if geometry.rgb_size not in (rgb_size, full_size):
            return None
        size = self.out_size(rgb_size)
        cached = self._camera
        if cached is None or cached[0] is not geometry or cached[1] != size:
            camera = geometry.rgb.scaled(*size).as_calibration("rgbt")
            cached = self._camera = geometry, size, camera
        return cached[2]

    def _gray(self, frame: Frame) -> Picture:
        # The same thermal frame may belong to several RGB frames.
        if self._gray_cache is None or self._gray_cache[0] is not frame:
            grey = to_gray8(
                frame.image, frame.encoding, lambda y16: self._tone.apply(y16, frame.stamp_ns)
            )
            self._gray_cache = frame, grey
        return self._gray_cache[1]

    def _fit(self, bgr: Picture) -> Picture:
        size = bgr.shape[1], bgr.shape[0]
        wanted = self.out_size(size)
        if wanted == size:
            return bgr
        return np.asarray(cv2.resize(bgr, wanted, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _prepare(
        self,
        rgb_size: tuple[int, int],
        thermal_size: tuple[int, int],
        full_size: tuple[int, int] | None,
    ) -> None:
        geometry = self.geometry
        out, grid = self.out_size(rgb_size), rgb_size
        if geometry is not None:
            if full_size == geometry.rgb_size:
                grid = full_size
            _check_size("RGB", grid, geometry.rgb_size, geometry.origin)
            _check_size("thermal", thermal_size, geometry.thermal_size, geometry.origin)
        if isinstance(geometry, RgbtCalibration):
            self._warp = ThermalWarp(geometry.rgb.scaled(*out), geometry.thermal)
            self._fixed = None
        else:
            # Without lenses the mapping is from pixels to pixels.
            pixels, target = Lens(*grid, np.eye(3)), Lens(*thermal_size, np.eye(3))
            self._warp = ThermalWarp(pixels.scaled(*out), target)
            self._fixed = _same_view(grid, thermal_size)
            if geometry is not None:
                self._fixed = geometry.matrix
        self._made_for = rgb_size, thermal_size, full_size

    def _between(self, pose: Pose) -> Floats:
        geometry, self.substituted = self.geometry, ""
        if isinstance(geometry, RgbtCalibration):
            altitude = pose.altitude_m
            if altitude is None or not altitude > 0:
                altitude = self._nominal_m
                self.substituted = (
                    f"altitude unknown: registered for {altitude:g} m; check altitude_topic"
                )
                self.in_use = f"ground plane at {altitude:g} m, nominal"
            else:
                self.in_use = f"ground plane at {altitude:.1f} m"
            return ray_map(geometry.extrinsics, altitude, pose.down)
        assert self._fixed is not None
        if geometry is None:
            self.in_use = "none: same field of view assumed"
            self.substituted = (
                "no calibration: thermal is only stretched over RGB; run 'windhover calibrate' "
                "and set the parameter calibration"
            )
        else:
            self.in_use = f"fixed homography of {geometry.origin}"
        return self._fixed


def full_size_of(rgb: Frame) -> tuple[int, int] | None:
    """``(width, height)`` of the frame that one was reduced from; ``None`` where it was not."""
    return None if rgb.full is None else (rgb.full.width, rgb.full.height)


def _same_view(rgb_size: tuple[int, int], thermal_size: tuple[int, int]) -> Floats:
    """RGB pixels to thermal pixels where both cameras have the same view."""
    return Lens(*rgb_size, np.eye(3)).scaled(*thermal_size).matrix


def _check_size(what: str, got: tuple[int, int], wanted: tuple[int, int], origin: str) -> None:
    if got != wanted:
        raise CalibrationError(
            f"{what} pictures are {got[0]}x{got[1]} and {origin} is for {wanted[0]}x{wanted[1]}: "
            "calibrate at that size, or set the camera to the other"
        )
