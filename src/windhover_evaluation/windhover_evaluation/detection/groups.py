"""Groups of images by which scores are broken down: time of day and altitude.

They come from the truth file's own image
records, or from HIT-UAV's file names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# HIT-UAV names a file T_altitude_angle_weather_frame. T = 0 is day and T = 1 is
# night: with 0 there are sun shadows and people differ little from the ground
# (67 % of 2,121 person boxes are warmer than what is around them), with 1 they
# stand out warm against cool ground (98 % of 5,761).
_HIT_UAV_NAME = re.compile(r"(?:^|/)([01])_(\d{2,3})_(\d{2})_\d_\d+\.[A-Za-z]+$")

#: Upper ends of the altitude bands in metres; each holds its upper end.
ALTITUDE_BANDS = (30.0, 50.0, 70.0, 90.0)


def altitude_band(altitude_m: float) -> str:
    """Name of the altitude band, such as ``50-70 m``, that holds ``altitude_m``."""
    low = 0.0
    for high in ALTITUDE_BANDS:
        if altitude_m <= high:
            return f"{low:.0f}-{high:.0f} m"
        low = high
    return f"over {low:.0f} m"


def image_groups(record: Mapping[str, Any], file_name: str) -> dict[str, str]:
    """The groups an image belongs to.

    Args:
        record: the image's record in the truth file. ``time_of_day`` (``day`` or
            ``night``) and ``altitude`` (metres) are read from it or from its
            ``attributes``.
        file_name: read where the record says nothing, if it is a HIT-UAV name.

    Returns:
        ``time`` (``day`` or ``night``) and ``altitude`` (a band), where known.
    """
    attributes = record.get("attributes")
    known = {**attributes, **record} if isinstance(attributes, dict) else record
    time, altitude = known.get("time_of_day"), known.get("altitude")
    name = _HIT_UAV_NAME.search(file_name)
    if name:
        time = time or ("day" if name[1] == "0" else "night")
        altitude = float(name[2]) if altitude is None else altitude
    groups = {}
    if time in ("day", "night"):
        groups["time"] = str(time)
    if isinstance(altitude, (int, float)) and not isinstance(altitude, bool) and altitude >= 0:
        groups["altitude"] = altitude_band(float(altitude))
    return groups
