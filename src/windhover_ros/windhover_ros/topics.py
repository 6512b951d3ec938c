"""Names of the topics in the ROS contract, written once.

They are relative to the nodes' namespace, but for :data:`DIAGNOSTICS` and :data:`CLOCK`.
"""

from __future__ import annotations

DETECTIONS = "detections"
TRACKS = "tracks"
LABEL_INFO = "label_info"
RGBT_IMAGE = "rgbt/image"
RGBT_CAMERA_INFO = "rgbt/camera_info"
OVERLAY = "overlay/image/compressed"
HEALTH = "health"
HEARTBEAT = "heartbeat"
ALTITUDE = "mavros/global_position/rel_alt"
ATTITUDE = "mavros/imu/data"
DIAGNOSTICS = "/diagnostics"
CLOCK = "/clock"


def camera_image(camera: str) -> str:
    """Images of a camera: ``rgb`` or ``thermal``."""
    return f"camera/{camera}/image_raw"


def camera_info(camera: str) -> str:
    """Calibration that goes with each image of a camera."""
    return f"camera/{camera}/camera_info"


def info_of(image_topic: str) -> str:
    """The camera_info beside an image, as image_transport names it."""
    folder, slash, _ = image_topic.rpartition("/")
    return f"{folder}{slash}camera_info"


def image_of(modality: str) -> str:
    """Images that the detector works on and that results belong to.

    Args:
        modality: ``rgb``, ``thermal`` or ``rgbt``.
    """
    return RGBT_IMAGE if modality == "rgbt" else camera_image(modality)


def compressed(image_topic: str) -> str:
    """The compressed images beside raw ones, as image_transport names them."""
    return f"{image_topic}/compressed"
