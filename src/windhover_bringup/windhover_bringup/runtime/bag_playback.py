"""Which part of a recording is played, and the config of a run that plays it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from windhover.errors import ConfigError
from windhover.sources import is_bag
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.settings import settings_of

_CAMERA_TOPIC = re.compile(r"/?(?:\S+/)?camera/(rgb|thermal)/image_raw(?:/compressed)?")


@dataclass(frozen=True)
class BagPart:
    """What is played of a bag.

    Attributes:
        start: seconds into it, by the times of recording.
        duration: seconds from there; ``None`` to its end.
        remap: ``FROM:=TO`` where TO is a camera's image topic.
    """

    start: float = 0.0
    duration: float | None = None
    remap: Sequence[str] = ()

    @property
    def is_part(self) -> bool:
        """Whether some of its time is left out."""
        return self.start > 0.0 or self.duration is not None

    def source(self, bag: str) -> str:
        """The source that plays it.

        Args:
            bag: as given on the command line.

        Raises:
            ConfigError: a remapping rule is malformed, or the source is no bag.
        """
        query = {"start": f"{self.start:g}"} if self.start > 0.0 else {}
        if self.duration is not None:
            query["duration"] = f"{self.duration:g}"
        topics = dict(_camera_topic(rule) for rule in self.remap)
        if not query and not topics:
            return bag
        if not is_bag(bag):
            raise ConfigError(f"{bag} is no rosbag2; --start, --duration and --remap are for bags")
        uris = {
            camera: f"rosbag:{bag}?{urlencode({**query, 'topic': topic})}"
            for camera, topic in topics.items()
        }
        if len(uris) == 2:
            return f"rgb={uris['rgb']},thermal={uris['thermal']}"
        return next(iter(uris.values()), f"rosbag:{bag}?{urlencode(query)}")


def settings_of_bag(
    bag: str,
    part: BagPart,
    stamps: str,
    config: str | None,
    model: str | None,
    backend: str | None,
    rate: float,
    operating_point: str | None = None,
) -> Config:
    """The config of a run that plays a bag.

    Args:
        bag: as given on the command line.
        part: what is played of it.
        stamps: ``now``, or ``source`` as recorded.
        config: parameter file, or the name of one; ``None`` for the defaults.
        model: bundle; ``None`` leaves the config's.
        backend: of the detector; ``None`` leaves the config's.
        rate: of the recording; 0 loses no frame.
        operating_point: which of the model's thresholds; ``None`` leaves the config's.

    Raises:
        WindhoverError: an input is wrong.
    """
    settings = settings_of(
        config, part.source(bag), model, backend, rate=rate, operating_point=operating_point
    )
    for camera in ("rgb", "thermal"):
        settings = settings.with_values(f"{camera}_camera", stamps=stamps)
    return settings


def _camera_topic(rule: str) -> tuple[str, str]:
    name, _, target = rule.partition(":=")
    match = _CAMERA_TOPIC.fullmatch(target)
    if not name or match is None:
        raise ConfigError(
            f"--remap {rule!r}: write /topic/in/the/bag:=camera/thermal/image_raw (or camera/rgb/"
            "...); topics that are published are renamed by --ros-args -r tracks:=other"
        )
    return match[1], name
