"""Reading what qnn-profile-viewer tells of a qnn-net-run.

Only figures that the tool gives are returned: it gives averages, least and greatest, and
no percentiles.
"""

from __future__ import annotations

import re
from typing import Any, Final

from windhover.errors import DataError

_HEADING: Final = re.compile(r"^\s*(?P<name>\w[\w ]*) Stats \((?P<kind>Average|Min|Max)\)\s*:?\s*$")
_ROW: Final = re.compile(
    r"^\s*(?P<name>[^:]+):\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|cycles)\s*$"
)
_RUN: Final = "NetRun"
_HTP: Final = "Accelerator (execute) time"


def read_viewer(text: str) -> dict[str, Any]:
    """Milliseconds of the ``Execute Stats`` of a qnn-profile-viewer's output.

    Args:
        text: its standard output.

    Returns:
        ``average_ms``, and ``min_ms``, ``max_ms``, ``htp_ms`` where they were given; and
        ``throughput_hz``, one run after the other.

    Raises:
        DataError: there is no average of the runs in it.
    """
    found: dict[tuple[str, str], float] = {}
    section = kind = ""
    for line in text.splitlines():
        heading, row = _HEADING.match(line), _ROW.match(line)
        if heading:
            section, kind = heading["name"].strip(), heading["kind"]
        elif row and section == "Execute" and row["unit"] != "cycles":
            factor = 1e-3 if row["unit"] == "us" else 1.0
            found[kind, row["name"].strip()] = float(row["value"]) * factor
    average = found.get(("Average", _RUN))
    if not average:
        raise DataError(
            "qnn-profile-viewer gave no average of 'NetRun' under 'Execute Stats'; look at its "
            "output, the tool's version may print another form"
        )
    result = {"average_ms": average, "throughput_hz": 1e3 / average}
    for name, key in (("min_ms", ("Min", _RUN)), ("max_ms", ("Max", _RUN))):
        if key in found:
            result[name] = found[key]
    htp = [ms for (which, name), ms in found.items() if which == "Average" and _HTP in name]
    if htp:
        result["htp_ms"] = htp[0]
    return result
