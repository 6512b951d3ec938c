"""Image motion caused by the camera's rotation, from the drone's attitude.

A turn moves pixels whatever their distance; what the drone's own travel adds
depends on the ground and is left to the tracker's motion model.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from windhover.geometry import Floats, Lens, Quaternion, body_to_optical, rotation_of

#: Largest time between a frame's stamp and an attitude that is used for it.
MAX_GAP_NS = 50_000_000
_HISTORY_NS = 3_000_000_000
# Pixels of a lens count from the centre of the first one, boxes from its corner.
_TO_CORNER = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])


def turn_motion(before: Quaternion, after: Quaternion, lens: Lens, pitch_deg: float) -> Floats:
    """Homography of the image when the camera rotates.

    Args:
        before: x, y, z, w of the drone's attitude at the first frame: body (``x``
            forward, ``y`` left, ``z`` up) to world, as sensor_msgs/Imu has it.
        after: the same at the second frame.
        lens: of the camera; its distortion is ignored.
        pitch_deg: as :func:`body_to_optical` takes it.

    Returns:
        ``(3, 3)`` homography from the first frame's pixels to the second's, in the
        pixels of boxes.

    Raises:
        ConfigError: an attitude is not a quaternion.
    """
    mount = body_to_optical(pitch_deg)
    turn = mount @ rotation_of(after).T @ rotation_of(before) @ mount.T
    camera = _TO_CORNER @ lens.matrix
    motion = camera @ turn @ np.linalg.inv(camera)
    return np.asarray(motion / motion[2, 2], np.float64)


class AttitudeHistory:
    """The attitudes of the last seconds, for the stamps of frames.

    Args:
        pitch_deg: as :func:`body_to_optical` takes it.
    """

    def __init__(self, pitch_deg: float) -> None:
        self._pitch_deg = pitch_deg
        self._history: deque[tuple[int, Quaternion]] = deque(maxlen=4096)

    def add(self, stamp_ns: int, quaternion: Quaternion) -> bool:
        """Add an attitude; False where it is no rotation, or older than the last one."""
        length = math.hypot(*quaternion)
        usable = math.isfinite(length) and length > 1e-6
        if not usable or (self._history and stamp_ns <= self._history[-1][0]):
            # The clock was set back: the history is of another time.
            if usable and self._history[-1][0] - stamp_ns > _HISTORY_NS:
                self._history.clear()
            return False
        self._history.append((stamp_ns, quaternion))
        while stamp_ns - self._history[0][0] > _HISTORY_NS:
            self._history.popleft()
        return True

    def motion(self, before_ns: int, after_ns: int, lens: Lens) -> Floats | None:
        """Motion between two frames.

        ``None`` where an attitude near them is missing, or the lens is a fisheye, whose
        pixels a turn does not move by a homography.

        Args:
            before_ns: stamp of the first.
            after_ns: stamp of the second.
            lens: of the camera.
        """
        if lens.fisheye:
            return None
        before, after = self._at(before_ns), self._at(after_ns)
        if before is None or after is None:
            return None
        return turn_motion(before, after, lens, self._pitch_deg)

    def _at(self, stamp_ns: int) -> Quaternion | None:
        """The attitude at a stamp, interpolated where both neighbours are near."""
        later = next((item for item in self._history if item[0] >= stamp_ns), None)
        earlier = next((item for item in reversed(self._history) if item[0] <= stamp_ns), None)
        near = [item for item in (earlier, later) if item and abs(item[0] - stamp_ns) <= MAX_GAP_NS]
        if len(near) < 2 or near[0][0] == near[1][0]:
            return near[0][1] if near else None
        (first_ns, first), (last_ns, last) = near
        share = (stamp_ns - first_ns) / (last_ns - first_ns)
        # Neighbours are so close that linear interpolation is exact enough.
        sign = math.copysign(1.0, sum(a * b for a, b in zip(first, last, strict=True)))
        x, y, z, w = ((1 - share) * a + share * sign * b for a, b in zip(first, last, strict=True))
        return x, y, z, w
