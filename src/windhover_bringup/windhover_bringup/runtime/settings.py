"""A config with values of the command line, or of launch arguments, over it."""

from __future__ import annotations

import logging
from pathlib import Path

from windhover.inference import emulates
from windhover_bringup.runtime.cameras import CameraSetup, named_sources, sources_of
from windhover_bringup.runtime.config import Config
from windhover_ros.arguments import parse_ros_arguments, ros_arguments
from windhover_ros.environment import prepare_environment

_log = logging.getLogger(__name__)


def settings_of(
    config: str | Path | None,
    source: str | None = None,
    model: str | None = None,
    backend: str | None = None,
    frames: int | None = None,
    rate: float | None = None,
    namespace: str | None = None,
    operating_point: str | None = None,
) -> Config:
    """A config with the process's ROS arguments and then other values over it.

    ``None`` leaves a value as it is.

    Args:
        config: parameter file, or the name of one in the installed config/.
        source: of the camera that the model is for; ``rgb=URI,thermal=URI`` of two, or one
            of these alone.
        model: bundle folder, or its name in models/.
        backend: ``auto``, ``cpu``, ``qnn`` or ``dlc``.
        frames: end after so many.
        rate: speed of recorded frames; on an HTP emulator it is 0 unless given.
        namespace: of all nodes.
        operating_point: which of the model's thresholds, such as ``quiet``.

    Raises:
        ConfigError: a value is unknown or out of range.
        BundleError: the model can't be used.
    """
    prepare_environment()
    arguments = parse_ros_arguments(ros_arguments())
    settings = Config.load(config, arguments, namespace)
    settings = settings.with_values(
        "detector", model=model, backend=backend, operating_point=operating_point
    )
    settings.validate()
    if emulates(settings["detector"].get("backend", "auto")):
        # Seconds a frame: at a recording's own pace nearly all frames would be lost.
        _log.warning("an HTP emulator runs the model: no health monitor, and no frame is skipped")
        rate = 0.0 if rate is None else rate
    named = named_sources(source) if source else {}
    if len(named) == 1:
        settings = settings.with_values("bringup", modality=next(iter(named)))
    setup = CameraSetup.of(settings, settings.bundle())
    sources = sources_of(source, setup.cameras) if source else {}
    for camera in setup.cameras:
        settings = settings.with_values(
            f"{camera}_camera", source=sources.get(camera), max_frames=frames, rate=rate
        )
    settings = settings.with_values("overlay", image_topic=setup.image_topic)
    settings.validate()
    return settings
