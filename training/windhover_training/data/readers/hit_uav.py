"""HIT-UAV as published: thermal images of people and vehicles from 60-130 m.

Source: Suo et al., "HIT-UAV: A high-altitude infrared thermal dataset for Unmanned Aerial
Vehicle-based object detection", Scientific Data 10, 227 (2023), CC BY 4.0.

File names are ``T_altitude_angle_weather_frame``. What T means was read off the pictures:
with T=0 car roofs and buildings are heated by the sun and people are partly cooler than
the ground; with T=1 car bodies are colder than the tarmac and only bonnets are warm, and
parked cars leave warm or cold footprints on the ground. So T=0 is day and T=1 is night,
although the README that comes with the sample states the opposite.

A flight is a run of consecutive frame numbers at one time of day and one altitude. Frame
numbers that are far apart, or a change of altitude or time of day, start a new one; the
camera angle sweeps 30 to 90 degrees inside one flight, over the same people and cars, so
a change of angle does not. The publisher's train, val and test lists interleave
neighbouring frames of one flight, so they are pooled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.coco_json import read_coco
from windhover_training.data.readers.records import RawFrame

LABELS = (
    "person",
    "vehicle",
    "two-wheeler",
)  # thermal-n's, as configs/labels/hit_uav.yaml has them
MAX_GAP = 120  # the flights at 100 m and above are thinned to every 12th frame or fewer

_NAME = re.compile(r"^([01])_(\d+)_(\d+)_(\d+)_(\d+)\.jpg$")


def parse_name(name: str) -> tuple[bool, int, int, int] | None:
    """Read ``(day, altitude m, camera angle deg, frame)`` from a file name, or None."""
    match = _NAME.match(name)
    if match is None:
        return None
    time, altitude, angle, _weather, frame = (int(g) for g in match.groups())
    return time == 0, altitude, angle, frame


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read the pooled train, val and test lists.

    Args:
        root: the folder ``normal_json``: ``annotations/`` and the three image folders.
        summary: receives what could not be read.

    Yields:
        Frames in order of frame number, with ``flight`` set.

    Raises:
        DataError: there is no annotation file under ``root``.
    """
    lists = sorted((root / "annotations").glob("*.json"))
    if not lists:
        raise DataError(f"{root}: no annotations/*.json here; give HIT-UAV's normal_json")
    frames: dict[str, RawFrame] = {}
    for path in lists:
        for image in read_coco(path, summary):
            parsed = parse_name(image.file_name)
            if parsed is None:
                what = "image: name is not T_altitude_angle_weather_frame"
                summary.add("dropped", what, image.file_name)
                continue
            day, altitude, angle, number = parsed
            frame = RawFrame(
                name=Path(image.file_name).stem,
                flight="",
                thermal=root / path.stem / image.file_name,
                boxes=image.boxes,
                size=image.size,
                altitude=float(altitude),
                altitude_source="measured",
                time_of_day="day" if day else "night",
                extra={"angle": angle, "frame": number},
            )
            if frame.name in frames:
                summary.add("dropped", "image: listed twice", frame.name)
                continue
            frames[frame.name] = frame
    yield from with_flights(sorted(frames.values(), key=lambda f: (f.extra["frame"], f.name)))


def with_flights(frames: Iterable[RawFrame], max_gap: int = MAX_GAP) -> Iterator[RawFrame]:
    """Name the flight of each frame: ``<day|night>-<altitude>m-<first frame>``.

    Args:
        frames: in order of frame number.
        max_gap: frame numbers further apart than this start a new flight.
    """
    previous: RawFrame | None = None
    flight = ""
    for frame in frames:
        same = (
            previous is not None
            and frame.time_of_day == previous.time_of_day
            and frame.altitude == previous.altitude
            and frame.extra["frame"] - previous.extra["frame"] <= max_gap
        )
        if not same:
            flight = f"{frame.time_of_day}-{frame.altitude:.0f}m-{frame.extra['frame']:05d}"
        yield replace(frame, flight=flight)
        previous = frame
