"""The lens that a camera_info message states."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo

from windhover.calibration import CameraCalibration, check_distortion
from windhover.errors import CalibrationError
from windhover.geometry import Lens


def lens_of(info: CameraInfo) -> Lens | None:
    """The lens that a camera_info states.

    Args:
        info: of any camera node; without coefficients the lens is without distortion.

    Returns:
        The lens; ``None`` where K is zero, which means "uncalibrated".

    Raises:
        CalibrationError: the distortion model is unknown, or its coefficients are not
            finite or another model's.
    """
    if not info.k[0] > 0.0:
        return None
    model, d = info.distortion_model or "plumb_bob", np.array(info.d, np.float64)
    if not len(d) and model != "equidistant":
        model, d = "plumb_bob", np.zeros(5)
    k = np.array(info.k, np.float64).reshape(3, 3)
    try:
        model = check_distortion(model, len(d))
        if not (np.isfinite(d).all() and np.isfinite(k).all()):
            raise ValueError("it holds a value that is not a number")
    except ValueError as error:
        raise CalibrationError(
            f"camera_info of {info.header.frame_id or 'a camera'}: {error}; correct the camera's "
            "calibration"
        ) from None
    r, p = np.array(info.r).reshape(3, 3), np.array(info.p).reshape(3, 4)
    return Lens.of(CameraCalibration(info.width, info.height, k, d, model, r, p))
