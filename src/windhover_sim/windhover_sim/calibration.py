"""True lenses, poses and homographies of a rendered scene's two cameras."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from windhover.errors import CalibrationError, ConfigError
from windhover.geometry import Extrinsics, Floats, Lens, ground_homography
from windhover.pairing.files import RgbtCalibration
from windhover_sim.camera import Camera, Flight, Intrinsics
from windhover_sim.config import SceneConfig, parse_scene_uri


def lens_of(intrinsics: Intrinsics) -> Lens:
    """A scene camera's lens, which counts pixels from outer corners, as a ``Lens``."""
    matrix = intrinsics.matrix
    matrix[:2, 2] -= 0.5
    return Lens(intrinsics.width, intrinsics.height, matrix)


def extrinsics_of(rgb: Camera, thermal: Camera) -> Extrinsics:
    """True pose of the thermal camera, seen from the RGB one."""
    rotation = thermal.rotation @ rgb.rotation.T
    return Extrinsics(rotation, thermal.rotation @ (rgb.position - thermal.position))


def down_of(camera: Camera) -> Floats:
    """Straight down in a scene camera's frame, ``(3,)``."""
    return np.asarray(camera.rotation @ np.array([0.0, 0.0, -1.0]))


def true_homography(rgb: Camera, thermal: Camera) -> Floats:
    """The exact ground homography of one instant, ``(3, 3)``, RGB pixels to thermal pixels."""
    return ground_homography(
        lens_of(rgb.intrinsics),
        lens_of(thermal.intrinsics),
        extrinsics_of(rgb, thermal),
        float(rgb.position[2]),
        down_of(rgb),
    )


def scene_calibration(config: SceneConfig, origin: str = "scene") -> RgbtCalibration:
    """The true calibration of a scene's two cameras, which are fixed to each other."""
    flight = Flight(config, np.random.default_rng(0))
    rgb, thermal = flight.camera("rgb", 0.0), flight.camera("thermal", 0.0)
    return RgbtCalibration(
        lens_of(rgb.intrinsics),
        lens_of(thermal.intrinsics),
        extrinsics_of(rgb, thermal),
        0.0,
        origin,
    )


def calibration_of(uri: str) -> RgbtCalibration:
    """The true calibration of the two cameras of a ``scene:`` URI.

    Raises:
        CalibrationError: no such scene is there.
    """
    try:
        rgb, thermal = (
            parse_scene_uri(of_camera(uri, camera)).config for camera in ("rgb", "thermal")
        )
    except ConfigError as error:
        raise CalibrationError(str(error)) from None
    both = replace(thermal, rgb_size=rgb.rgb_size, rgb_hfov_deg=rgb.rgb_hfov_deg)
    return scene_calibration(both, uri)


def pairing_values(uri: str) -> dict[str, Any]:
    """Parameters of the pairing node that a ``scene:`` URI determines."""
    scene = parse_scene_uri(uri).config
    return {
        "calibration": uri,
        "nominal_altitude_m": float(scene.altitude_m),
        "camera_pitch_deg": float(scene.pitch_deg),
    }


def of_camera(uri: str, camera: str | None) -> str:
    """A scene's URI as one camera sees it; as neither does in particular with ``None``."""
    head, _, query = uri.partition("?")
    kept = [(k, v) for k, v in parse_qsl(query) if k not in {"camera", "encoding"}]
    kept += [("camera", camera)] if camera else []
    return f"{head}?{urlencode(kept)}" if kept else head
