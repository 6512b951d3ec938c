"""Calibration of one camera: the YAML file of ROS's ``camera_calibration``.

The file is what ``cameracalibrator`` and ``camera_info_manager`` read and write, so a
camera that was calibrated with ROS's own tools needs nothing new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import CalibrationError
from windhover.plain_yaml import YamlError, dump_yaml, read_yaml

Floats = NDArray[np.float64]

MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8,), "equidistant": (4,)}
"""Distortion models and how many coefficients each may have."""

_HINT = "calibrate again, or leave calibration_file empty"


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """What a calibration says of a camera; pixels as in ROS's CameraInfo.

    Attributes:
        width: pixels of the images that it was made with.
        height: the same.
        k: ``(3, 3)`` camera matrix; the centre of the top-left pixel is (0, 0).
        d: ``(N,)`` distortion coefficients, k1, k2, p1, p2, ... of ``model``.
        model: one of :data:`MODELS`.
        r: ``(3, 3)`` rectification; the identity for a camera of its own.
        p: ``(3, 4)`` projection of the rectified image.
        name: of the camera, for people.
    """

    width: int
    height: int
    k: Floats
    d: Floats
    model: str
    r: Floats
    p: Floats
    name: str = "camera"

    @classmethod
    def ideal(cls, width: int, height: int, fov_deg: float) -> CameraCalibration:
        """A pinhole lens of a horizontal field of view, degrees; nothing measured."""
        focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
        k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        p = np.column_stack([k, np.zeros(3)])
        return cls(width, height, k, np.zeros(5), "plumb_bob", np.eye(3), p)

    def check_size(self, width: int, height: int, origin: str) -> None:
        """Refuse images of another size than the calibration is for.

        Args:
            width: of the images.
            height: of the images.
            origin: file that it came from, for the message.

        Raises:
            CalibrationError: the sizes differ.
        """
        if (width, height) != (self.width, self.height):
            raise CalibrationError(
                f"calibration {origin} is for {self.width}x{self.height} and the camera gives "
                f"{width}x{height}; set the camera's size or calibrate at this one"
            )


def load_calibration(path: str | Path) -> CameraCalibration:
    """Read a calibration file.

    Args:
        path: YAML of ROS's ``camera_calibration``; ``file://`` before it is taken off.

    Returns:
        The calibration, every field checked.

    Raises:
        FileNotFoundError: no such file, which is no fault of its contents.
        CalibrationError: not YAML, a field is missing or of the wrong shape, or it
            holds a value that no camera has.
    """
    file = Path(str(path).removeprefix("file://"))
    try:
        document = read_yaml(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CalibrationError(f"calibration {file} can't be read: {error}; {_HINT}") from None
    except YamlError as error:
        raise CalibrationError(f"calibration {file} is not YAML: {error}; {_HINT}") from None
    if not isinstance(document, dict):
        raise CalibrationError(f"calibration {file} holds no fields; {_HINT}")
    try:
        return _parse(document)
    except (ValueError, TypeError) as error:
        raise CalibrationError(f"calibration {file}: {error}; {_HINT}") from None


def save_calibration(calibration: CameraCalibration, path: str | Path) -> None:
    """Write a calibration as ROS's tools read it."""
    document = {
        "image_width": calibration.width,
        "image_height": calibration.height,
        "camera_name": calibration.name,
        "camera_matrix": _matrix(calibration.k),
        "distortion_model": calibration.model,
        "distortion_coefficients": _matrix(calibration.d.reshape(1, -1)),
        "rectification_matrix": _matrix(calibration.r),
        "projection_matrix": _matrix(calibration.p),
    }
    Path(path).write_text(dump_yaml(document, default_flow_style=None))


def _matrix(values: Floats) -> dict[str, Any]:
    rows, cols = values.shape
    return {"rows": rows, "cols": cols, "data": [float(value) for value in values.ravel()]}


def _parse(document: dict[str, Any]) -> CameraCalibration:
    width, height = (_side(document, key) for key in ("image_width", "image_height"))
    model = str(document.get("distortion_model", "plumb_bob"))
    if model not in MODELS:
        raise ValueError(f"distortion_model {model!r} is none of {', '.join(MODELS)}")
    k = _field(document, "camera_matrix", (3, 3))
    d = _field(document, "distortion_coefficients", None).ravel()
    if len(d) not in MODELS[model]:
        allowed = " or ".join(str(count) for count in MODELS[model])
        raise ValueError(f"{model} has {allowed} distortion_coefficients, not {len(d)}")
    focal, centre = k[[0, 1], [0, 1]], k[:2, 2]
    if not ((focal > 0).all() and (centre >= 0).all() and (centre <= (width, height)).all()):
        raise ValueError(
            f"camera_matrix has focal lengths {focal.tolist()} and centre {centre.tolist()}, "
            f"which no {width}x{height} camera has"
        )
    r = np.eye(3)
    if "rectification_matrix" in document:
        r = _field(document, "rectification_matrix", (3, 3))
    p = np.column_stack([k, np.zeros(3)])
    if "projection_matrix" in document:
        p = _field(document, "projection_matrix", (3, 4))
    name = str(document.get("camera_name", "camera"))
    return CameraCalibration(width, height, k, d, model, r, p, name)


def _side(document: dict[str, Any], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} must be a number of pixels, got {value!r}")
    return value


def _field(document: dict[str, Any], key: str, shape: tuple[int, int] | None) -> Floats:
    field = document.get(key)
    if not isinstance(field, dict) or not {"rows", "cols", "data"} <= field.keys():
        raise ValueError(f"{key} with rows, cols and data is missing")
    values = np.asarray(field["data"], np.float64)
    given = (int(field["rows"]), int(field["cols"]))
    wanted = shape or given
    if given != wanted or values.ndim != 1 or values.size != wanted[0] * wanted[1]:
        raise ValueError(
            f"{key} should be {wanted[0]}x{wanted[1]}, but says {given[0]}x{given[1]} "
            f"and holds {values.size} numbers"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{key} holds what is not a number")
    return values.reshape(wanted)
