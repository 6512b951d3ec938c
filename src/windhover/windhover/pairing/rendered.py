"""True lenses, poses and homographies of a rendered scene's two cameras."""

from __future__ import annotations

import numpy as np

from windhover.pairing.geometry import Extrinsics, Floats, Lens, ground_homography
from windhover.sources.scene.camera import Camera, Intrinsics


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
    """The exact ground homography of one instant, RGB pixels to thermal pixels."""
    return ground_homography(
        lens_of(rgb.intrinsics),
        lens_of(thermal.intrinsics),
        extrinsics_of(rgb, thermal),
        float(rgb.position[2]),
        down_of(rgb),
    )
