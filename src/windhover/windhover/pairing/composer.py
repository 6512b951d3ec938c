"""One B, G, R, T frame of each match, whatever of it can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from windhover.errors import CalibrationError, EncodingError
from windhover.geometry import Lens
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.pairing.intake import Modality
from windhover.pairing.matching import Match
from windhover.pairing.registration import Pose, Registration
from windhover.types import Frame, RgbtFrame

# Share of the focal length by which two calibrations of one lens may differ.
_SAME_LENS = 0.02


@dataclass(frozen=True, slots=True)
class Composed:
    """What became of a match.

    Attributes:
        frame: ``8UC4``; ``None`` where not even the RGB image could be used.
        pair: what it was made of; ``None`` where the thermal frame could not be used
            or there was no RGB frame.
        problem: why a frame could not be used; ``None`` where all were.
    """

    frame: Frame | None
    pair: RgbtFrame | None = None
    problem: CalibrationError | EncodingError | None = None


class Composer:
    """Registers matches; a thermal frame that can't be used leaves its plane empty.

    Args:
        registration: lays thermal images on the RGB grid.
    """

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._last_rgb: Frame | None = None
        self._count = 0

    def compose(self, match: Match, pose: Pose) -> Composed:
        """Make one frame of a match.

        Args:
            match: a pair, or a frame of one camera alone.
            pose: of the drone when it was taken.
        """
        composed = self._compose(match, pose)
        self._count += composed.frame is not None
        return composed

    def _compose(self, match: Match, pose: Pose) -> Composed:
        rgb = match.rgb or self._black(match.thermal)
        self._last_rgb = match.rgb or self._last_rgb
        pair = RgbtFrame(rgb, match.thermal)
        try:
            frame = self._registration.frame(pair, pose)
        except (CalibrationError, EncodingError) as error:
            return self._without_thermal(rgb, pose, error)
        return Composed(frame, None if match.rgb is None else pair)

    def _without_thermal(
        self, rgb: Frame, pose: Pose, problem: CalibrationError | EncodingError
    ) -> Composed:
        try:
            return Composed(self._registration.frame(RgbtFrame(rgb, None), pose), None, problem)
        except EncodingError as error:
            return Composed(None, None, error)

    def _black(self, thermal: Frame | None) -> Frame:
        """The RGB frame of a thermal frame that comes alone."""
        assert thermal is not None
        last, geometry = self._last_rgb, self._registration.geometry
        width, height = thermal.width, thermal.height
        if last is not None:
            width, height = last.width, last.height
        elif geometry is not None:
            width, height = geometry.rgb_size
        image = np.zeros((height, width, 3), np.uint8)
        name = last.frame_id if last is not None else "rgb_camera"
        return Frame(image, "bgr8", thermal.stamp_ns, name, self._count)


def lens_mismatch(
    geometry: RgbtCalibration | FixedHomography, modality: Modality, stated: Lens
) -> str:
    """Why a camera's stated lens is not the calibration's, in one line; empty where it is.

    Args:
        geometry: the calibration in use; a homography has no lenses to compare.
        modality: of the camera.
        stated: by its camera_info.
    """
    if isinstance(geometry, FixedHomography):
        return ""
    ours = geometry.rgb if modality == "rgb" else geometry.thermal
    off = np.abs(ours.matrix - stated.matrix).max()
    same = ours.size == stated.size and ours.fisheye == stated.fisheye
    if same and off <= _SAME_LENS * ours.matrix[0, 0]:
        return ""
    return (
        f"camera_info of {modality} ({_in_words(stated)}) is not what {geometry.origin} says "
        f"({_in_words(ours)}); calibrate again or correct the camera's file"
    )


def _in_words(lens: Lens) -> str:
    kind = ", fisheye" if lens.fisheye else ""
    return f"{lens.width}x{lens.height}, focal {lens.matrix[0, 0]:.0f}{kind}"
