"""What QNN measured in a run."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.structs import ProfileEvent

LEVELS: Mapping[str, int] = {"basic": 1, "detailed": 2}
"""``basic`` times the complete run, ``detailed`` counts each node's cycles and slows it."""

_UNITS = {1: "us", 2: "bytes", 3: "cycles", 4: "count"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure of a run.

    Attributes:
        name: QNN's name of what was measured, or a node's.
        value: the figure.
        unit: ``us``, ``cycles``, ``bytes``, ``count`` or QNN's number of another.
        depth: 0 of the run, 1 of a part of the figure before it.
    """

    name: str
    value: int
    unit: str
    depth: int


class Profile:
    """A profile handle; each run that is given it replaces its events.

    Args:
        device: that runs.
        level: of :data:`LEVELS`.

    Raises:
        QnnError: the device does not profile.
    """

    def __init__(self, device: HtpDevice, level: str) -> None:
        self._device = device
        self.handle = c.c_void_p()
        device.call("profileCreate", device.backend, LEVELS[level], c.byref(self.handle))

    def measurements(self) -> list[Measurement]:
        """Of the last run.

        Raises:
            QnnError: they can't be read.
        """
        return list(self._read("profileGetEvents", self.handle, 0))

    def close(self) -> None:
        """Free the handle; calling it twice is fine."""
        if self.handle:
            self._device.libraries.core("profileFree", self.handle)
            self.handle = c.c_void_p()

    def _read(self, call: str, parent: object, depth: int) -> Iterator[Measurement]:
        ids, count = c.POINTER(c.c_uint64)(), c.c_uint32()
        self._device.call(call, parent, c.byref(ids), c.byref(count))
        for event in ids[: count.value]:
            data = ProfileEvent()
            self._device.call("profileGetEventData", event, c.byref(data))
            name = (data.identifier or b"").decode(errors="replace")
            yield Measurement(name, data.value, _UNITS.get(data.unit, str(data.unit)), depth)
            if depth == 0:
                yield from self._read("profileGetSubEvents", event, depth + 1)
