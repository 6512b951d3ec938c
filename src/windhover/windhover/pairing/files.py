"""Files of two cameras' calibration: ``rgbt.yaml`` and the lens files beside it.

A lens is the YAML that ROS's camera_calibration writes (``windhover.calibration``).
``rgbt.yaml`` names the two of them and has either the pose between the cameras
or, where only that is known, one fixed homography.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from windhover.calibration import calibration_path, load_calibration, save_calibration
from windhover.errors import CalibrationError, SourceError
from windhover.files import write_atomic
from windhover.geometry import Extrinsics, Floats, Lens
from windhover.plain_yaml import YamlError, dump_yaml, read_yaml
from windhover.sources import kind_of

FORMAT = 1
"""The only ``format`` of rgbt.yaml that this code reads and writes."""

_HINT = "make one with 'windhover calibrate'"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _CameraPart(_Strict):
    intrinsics: str = ""
    width: int = Field(ge=1, le=32_767)
    height: int = Field(ge=1, le=32_767)


class RgbtFile(_Strict):
    """All of ``rgbt.yaml``."""

    format: Literal[1]
    rgb: _CameraPart
    thermal: _CameraPart
    rotation: list[float] | None = Field(None, min_length=9, max_length=9)
    translation_m: list[float] | None = Field(None, min_length=3, max_length=3)
    homography: list[float] | None = Field(None, min_length=9, max_length=9)
    residual_px: float | None = Field(None, ge=0)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("rotation")
    @classmethod
    def _rotates(cls, value: list[float] | None) -> list[float] | None:
        if value is not None:
            matrix = np.array(value).reshape(3, 3)
            orthogonal = np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-4)
            if not (orthogonal and np.linalg.det(matrix) > 0):
                raise ValueError("this is no rotation matrix")
        return value

    @field_validator("homography")
    @classmethod
    def _maps(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and abs(np.linalg.det(np.array(value).reshape(3, 3))) < 1e-12:
            raise ValueError("this matrix is singular")
        return value

    @model_validator(mode="after")
    def _complete(self) -> RgbtFile:
        posed = self.rotation is not None and self.translation_m is not None
        if not posed and self.homography is None:
            raise ValueError("give rotation and translation_m, or homography")
        if posed and not (self.rgb.intrinsics and self.thermal.intrinsics):
            raise ValueError("a pose needs the intrinsics of both cameras")
        return self


@dataclass(frozen=True, slots=True)
class RgbtCalibration:
    """Two cameras' lenses and the pose between them.

    Attributes:
        rgb: lens of the RGB camera.
        thermal: lens of the thermal camera.
        extrinsics: RGB frame to thermal frame.
        residual_px: median residual of the fit, thermal pixels.
        origin: file or source that it came from, for messages.
    """

    rgb: Lens
    thermal: Lens
    extrinsics: Extrinsics
    residual_px: float | None = None
    origin: str = ""

    @property
    def rgb_size(self) -> tuple[int, int]:
        """``(width, height)`` of the RGB pictures that it is for."""
        return self.rgb.size

    @property
    def thermal_size(self) -> tuple[int, int]:
        """``(width, height)`` of the thermal pictures that it is for."""
        return self.thermal.size


@dataclass(frozen=True, slots=True)
class FixedHomography:
    """One homography for all altitudes: exact only at the distance it was fitted at.

    Attributes:
        matrix: ``(3, 3)``, RGB pixels to thermal pixels.
        rgb_size: ``(width, height)`` of the RGB pictures that it is for.
        thermal_size: ``(width, height)`` of the thermal pictures that it is for.
        origin: where it came from, for messages.
    """

    matrix: Floats
    rgb_size: tuple[int, int]
    thermal_size: tuple[int, int]
    origin: str = ""


def load_lens(path: Path | str) -> Lens:
    """Read a lens from ROS camera YAML.

    Raises:
        CalibrationError: it is missing, malformed, or of a model that can't be used here.
    """
    try:
        return Lens.of(load_calibration(path))
    except FileNotFoundError:
        raise CalibrationError(f"calibration {path} is not there; {_HINT}") from None


def open_calibration(text: str) -> RgbtCalibration | FixedHomography | None:
    """The calibration that a parameter names.

    Args:
        text: path of ``rgbt.yaml`` (or ``file://`` or ``package://``), the URI of a source
            whose calibration is known, such as ``scene:NAME?...``, or nothing for no
            calibration.

    Raises:
        CalibrationError: it can't be read, or no such source is there.
    """
    if not text:
        return None
    if text.startswith(("file:", "package:", "~", "${")):
        return load_rgbt(calibration_path(text))
    try:
        kind = kind_of(text)
    except SourceError as error:
        raise CalibrationError(str(error)) from None
    if kind is None:
        return load_rgbt(text)
    if kind.calibration is None:
        raise CalibrationError(f"{text} has no known calibration; give an rgbt.yaml")
    return kind.calibration(text)


def load_rgbt(path: Path | str) -> RgbtCalibration | FixedHomography:
    """Read ``rgbt.yaml`` and the lens files that it names.

    Raises:
        CalibrationError: a file is missing or malformed, or a lens file is for another size.
    """
    file = Path(path)
    content = _read(file)
    sizes = (content.rgb.width, content.rgb.height), (content.thermal.width, content.thermal.height)
    if content.rotation is None or content.translation_m is None:
        matrix = np.array(content.homography, np.float64).reshape(3, 3)
        return FixedHomography(matrix, *sizes, origin=str(path))
    rgb, thermal = (_lens_beside(file, part) for part in (content.rgb, content.thermal))
    pose = Extrinsics(
        np.array(content.rotation, np.float64).reshape(3, 3),
        np.array(content.translation_m, np.float64),
    )
    return RgbtCalibration(rgb, thermal, pose, content.residual_px, str(path))


def save_rgbt(
    folder: Path,
    calibration: RgbtCalibration | FixedHomography,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``rgbt.yaml``, with ``rgb.yaml`` and ``thermal.yaml`` where lenses are known.

    Args:
        folder: made if need be; files there are replaced.
        calibration: to write.
        provenance: how the calibration was made.

    Returns:
        Path of ``rgbt.yaml``.

    Raises:
        DataError: a file can't be written.
    """
    posed = isinstance(calibration, RgbtCalibration)
    document: dict[str, Any] = {"format": FORMAT}
    for name, size in (("rgb", calibration.rgb_size), ("thermal", calibration.thermal_size)):
        document[name] = {"intrinsics": f"{name}.yaml"} if posed else {}
        document[name] |= {"width": size[0], "height": size[1]}
    if isinstance(calibration, RgbtCalibration):
        document["rotation"] = calibration.extrinsics.rotation.ravel().tolist()
        document["translation_m"] = calibration.extrinsics.translation.ravel().tolist()
        if calibration.residual_px is not None:
            document["residual_px"] = round(calibration.residual_px, 3)
    else:
        document["homography"] = calibration.matrix.ravel().tolist()
    document["provenance"] = dict(provenance or {})
    path = folder / "rgbt.yaml"
    write_atomic(path, dump_yaml(document, default_flow_style=None))
    if isinstance(calibration, RgbtCalibration):
        for name, lens in (("rgb", calibration.rgb), ("thermal", calibration.thermal)):
            save_calibration(lens.as_calibration(name), folder / f"{name}.yaml")
    return path


def _lens_beside(file: Path, part: _CameraPart) -> Lens:
    path = file.parent / calibration_path(part.intrinsics)
    lens = load_lens(path)
    if lens.size != (part.width, part.height):
        raise CalibrationError(
            f"calibration {path} is for {lens.width}x{lens.height} and {file} "
            f"is for {part.width}x{part.height}; calibrate both again"
        )
    return lens


def _read(path: Path) -> RgbtFile:
    try:
        document = read_yaml(path)
    except OSError as error:
        raise CalibrationError(
            f"calibration {path} can't be read: {error.strerror or error}; {_HINT}"
        ) from None
    except YamlError as error:
        raise CalibrationError(f"calibration {path} is not YAML: {error}; {_HINT}") from None
    if not isinstance(document, dict):
        raise CalibrationError(f"calibration {path} holds no fields; {_HINT}")
    try:
        return RgbtFile(**document)
    except (ValidationError, TypeError) as error:
        text = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            text = f"{where}: {first['msg']}" if where else first["msg"]
        raise CalibrationError(f"calibration {path} is malformed: {text}; {_HINT}") from None
