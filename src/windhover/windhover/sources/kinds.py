"""How a kind of source is described to the rest of the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from windhover.sources.base import Source
from windhover.sources.options import SourceOptions

if TYPE_CHECKING:
    from windhover.pairing.files import RgbtCalibration

Opener = Callable[[str, str, SourceOptions], Source]
"""Takes the part of the URI after the scheme (or a path), the full URI, and the options."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One kind of source, chosen by its URI's scheme.

    Attributes:
        open: makes the source.
        usage: an example URI, for help and messages.
        live: a device, which may be absent now and come back; it is opened by the camera
            node and not checked beforehand.
        shared: from a URI, the one that either of two cameras opens; ``None`` where a
            source has a single camera.
        calibration: the calibration of the two cameras that a URI stands for.
        pairing: parameter values of the pairing node that a URI determines.
    """

    open: Opener
    usage: str
    live: bool = False
    shared: Callable[[str], str] | None = None
    calibration: Callable[[str], RgbtCalibration] | None = None
    pairing: Callable[[str], Mapping[str, Any]] | None = None
