"""Calibration of one camera: the YAML file of ROS's ``camera_calibration``.

The file is what ``cameracalibrator`` and ``camera_info_manager`` read and write, so a
camera that was calibrated with ROS's own tools needs nothing new. Files of other tools
are refused by the name of their format.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import CalibrationError
from windhover.plain_yaml import MAX_BYTES, YamlError, dump_yaml, parse_yaml

Floats = NDArray[np.float64]

MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Distortion models and how many coefficients each may have; OpenCV's order."""

# Other names of the same models: of ROS's older calibrators and of kalibr.
_ALIASES = {"fisheye": "equidistant", "radtan": "plumb_bob"}

_HINT = "calibrate again, or leave calibration_file empty"
_MAX_SIDE = 32_767

_FOREIGN = (
    (
        rb"\A\s*%YAML:|!!opencv-matrix|<opencv_storage",
        "an OpenCV FileStorage",
        "write its numbers as ROS's camera_calibration does",
    ),
    (
        rb"oST version|^\[narrow_stereo",
        "an ost.txt (INI)",
        "give the ost.yaml beside it, or convert it with 'ros2 run camera_calibration_parsers "
        "convert ost.txt ost.yaml'",
    ),
    (
        rb"^[ \t]+distortion_coeffs[ \t]*:",
        "a kalibr camchain",
        "write each camera's numbers as ROS's camera_calibration does",
    ),
    (
        rb"^[kK]:(?s:.*)^[rRpP]:",
        "a camera_info message",
        "write it as ROS's camera_calibration does: camera_matrix, distortion_coefficients, ...",
    ),
)
"""Formats of other tools: how their text is known, their name, and what to do."""


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """One camera's intrinsics; pixels as in ROS's CameraInfo.

    Attributes:
        width: pixels of the images that it was made with.
        height: the same.
        k: ``(3, 3)`` camera matrix; the centre of the top-left pixel is (0, 0).
        d: ``(N,)`` distortion coefficients, k1, k2, p1, p2, ... of ``model``.
        model: one of :data:`MODELS`.
        r: ``(3, 3)`` rectification; the identity for a single camera.
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

    def scaled(self, width: int, height: int) -> CameraCalibration:
        """The same lens on another grid of the same view, such as a reduced image.

        Args:
            width: pixels of that grid.
            height: the same.
        """
        x, y = width / self.width, height / self.height
        # Resizing keeps outer corners in place, half a pixel from the pixel centres.
        grid = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        return replace(self, width=width, height=height, k=grid @ self.k, p=grid @ self.p)


def calibration_path(text: str | Path) -> Path:
    """The file that a calibration's path or URL names, as ROS's camera_info_manager reads it.

    Args:
        text: a path, ``file://PATH`` or ``package://PACKAGE/PATH``; ``~`` and
            ``${ROS_HOME}`` are filled in.

    Raises:
        CalibrationError: another kind of URL, another variable, or no such package.
    """
    name = str(text)
    filled = name.replace("${ROS_HOME}", os.environ.get("ROS_HOME") or "~/.ros")
    if "${" in filled:
        raise CalibrationError(
            f"calibration {name}: only ${{ROS_HOME}} is filled in; write the rest out"
        )
    # One slash is left of two where the text was a path before.
    url = re.match(r"(\w{2,}):/+(.*)", filled, re.DOTALL)
    if url is None:
        return Path(filled).expanduser() if filled.startswith("~") else Path(filled)
    scheme, rest = url.groups()
    if scheme == "package":
        return _package_share(name, rest.partition("/")[0]) / rest.partition("/")[2]
    if scheme != "file":
        raise CalibrationError(f"calibration {name}: give a path, file:// or package://")
    return Path(rest).expanduser() if rest.startswith("~") else Path("/" + rest)


def _package_share(name: str, package: str) -> Path:
    """The share folder of an installed ROS package, by ROS's own index."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in filter(None, prefixes):
        marker = Path(prefix, "share", "ament_index", "resource_index", "packages", package)
        if package and marker.is_file():
            return Path(prefix, "share", package)
    raise CalibrationError(
        f"calibration {name}: no ROS package {package!r} is installed; source its workspace, "
        "or give a path"
    )


def load_calibration(path: str | Path) -> CameraCalibration:
    """Read a calibration file.

    Args:
        path: YAML of ROS's ``camera_calibration``; a URL as :func:`calibration_path`
            takes it.

    Returns:
        The calibration, every field checked.

    Raises:
        FileNotFoundError: there is no such file.
        CalibrationError: not YAML, another tool's format, a field is missing or of the
            wrong shape, or it holds a value that no camera has.
    """
    file = calibration_path(path)
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise CalibrationError(f"calibration {file} can't be read: {error}; {_HINT}") from None
    for pattern, kind, remedy in _FOREIGN:
        if re.search(pattern, text, re.MULTILINE):
            raise CalibrationError(f"calibration {file} is {kind}; {remedy}")
    try:
        document = parse_yaml(text)
    except YamlError as error:
        raise CalibrationError(f"calibration {file} is not YAML: {error}; {_HINT}") from None
    if not isinstance(document, dict):
        raise CalibrationError(f"calibration {file} holds no fields; {_HINT}")
    try:
        return _parse(document)
    except (ValueError, TypeError, OverflowError) as error:
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
    k = _field(document, "camera_matrix", (3, 3))
    d = _field(document, "distortion_coefficients", None).ravel()
    model = _model(document, len(d))
    focal, centre = k[[0, 1], [0, 1]], k[:2, 2]
    if not ((focal > 0).all() and (centre >= 0).all() and (centre <= (width, height)).all()):
        raise ValueError(
            f"camera_matrix has focal lengths {focal.tolist()} and centre {centre.tolist()}, "
            f"which no {width}x{height} camera has"
        )
    if k[1, 0] != 0.0 or not np.allclose(k[2], (0.0, 0.0, 1.0)):
        raise ValueError("camera_matrix must be fx, skew, cx, 0, fy, cy, 0, 0, 1")
    r = np.eye(3)
    if "rectification_matrix" in document:
        r = _field(document, "rectification_matrix", (3, 3))
    p = np.column_stack([k, np.zeros(3)])
    if "projection_matrix" in document:
        p = _field(document, "projection_matrix", (3, 4))
    name = str(document.get("camera_name", "camera"))
    return CameraCalibration(width, height, k, d, model, r, p, name)


def _model(document: dict[str, Any], count: int) -> str:
    """The distortion model; some calibrators write it as ``camera_model``, some not at all."""
    given = {
        key: str(document[key]).strip()
        for key in ("distortion_model", "camera_model")
        if document.get(key) is not None
    }
    # What projects, not what distorts.
    if given.get("camera_model") == "pinhole":
        del given["camera_model"]
    if not given:
        fitting = [model for model, counts in MODELS.items() if count in counts]
        if len(fitting) == 1:
            return fitting[0]
        raise ValueError(
            f"distortion_model is missing, and {count} distortion_coefficients are those of "
            f"{' and '.join(fitting) or 'no model'}; add a line distortion_model"
        )
    models = {_ALIASES.get(name, name) for name in given.values()}
    if len(models) > 1:
        raise ValueError(
            f"distortion_model {given['distortion_model']!r} and camera_model "
            f"{given['camera_model']!r} differ"
        )
    key, name = next(iter(given.items()))
    return check_distortion(_ALIASES.get(name, name), count, key)


def check_distortion(model: str, count: int, key: str = "distortion_model") -> str:
    """Refuse a model that can't be used, or coefficients that are not its.

    Args:
        model: as ROS's CameraInfo names it.
        count: of its coefficients.
        key: where it stands, for the message.

    Returns:
        The model.

    Raises:
        ValueError: no such model, or it has another number of coefficients.
    """
    model = _ALIASES.get(model, model)
    if model not in MODELS:
        raise ValueError(f"{key} {model!r} is none of {', '.join(MODELS)}")
    counts = MODELS[model]
    if count not in counts:
        *most, last = map(str, counts)
        allowed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{model} has {allowed} distortion_coefficients, not {count}")
    return model


def _side(document: dict[str, Any], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_SIDE:
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
        raise ValueError(f"{key} holds a value that is not a number")
    return values.reshape(wanted)
