"""Checks of a detector's input: frames that fail one are still used, and it is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from windhover.imaging.colour import is_coloured
from windhover.imaging.formats import Modality
from windhover.types import Frame

_GRID = 8


@dataclass(frozen=True, slots=True)
class InputProblem:
    """A check that a frame failed.

    Attributes:
        key: names the kind of problem.
        counter: names the count of such frames.
        text: one line, with what to do.
    """

    key: str
    counter: str
    text: str


class InputChecks:
    """Compares each frame of a stream with the one before, and with what the model takes.

    ``LASTING`` has the keys of problems that hold until a frame without them.

    Args:
        model: name of the bundle, for messages.
        channels: of the bundle.
    """

    LASTING: ClassVar = frozenset({"thermal", "colour"})

    def __init__(self, model: str, channels: Modality) -> None:
        self._model = model
        self._channels = channels
        self._last_stamp_ns: int | None = None
        self._last_size: tuple[int, int] | None = None

    def check(self, frame: Frame) -> list[InputProblem]:
        """The checks that the next frame of the stream fails."""
        found = [
            self._check_stamp(frame.stamp_ns),
            self._check_size((frame.width, frame.height)),
            self._check_thermal(frame),
            self._check_colour(frame),
        ]
        return [problem for problem in found if problem is not None]

    def _check_stamp(self, stamp_ns: int) -> InputProblem | None:
        last, self._last_stamp_ns = self._last_stamp_ns, stamp_ns
        if last is None or stamp_ns > last:
            return None
        return InputProblem(
            "stamp",
            "stamps_backwards",
            f"image stamps go backwards ({last} then {stamp_ns} ns); check the clock of the camera",
        )

    def _check_size(self, size: tuple[int, int]) -> InputProblem | None:
        last, self._last_size = self._last_size, size
        if last is None or size == last:
            return None
        return InputProblem(
            "size",
            "size_changes",
            f"images changed from {last[0]}x{last[1]} to {size[0]}x{size[1]}; "
            "continuing with the new size",
        )

    def _check_thermal(self, frame: Frame) -> InputProblem | None:
        # A grid of points is enough: a thermal picture is never black all over.
        missing = (
            self._channels == "rgbt"
            and frame.encoding == "8UC4"
            and not frame.image[::_GRID, ::_GRID, 3].any()
        )
        if not missing:
            return None
        return InputProblem(
            "thermal",
            "frames_without_thermal",
            "no thermal in the picture: detecting by RGB alone; the reason is in the pairing "
            "node's diagnostics",
        )

    def _check_colour(self, frame: Frame) -> InputProblem | None:
        if self._channels != "thermal" or not is_coloured(frame.image, frame.encoding):
            return None
        text = colour_warning(self._model, frame.frame_id)
        return InputProblem("colour", "frames_in_colour", text)


def colour_warning(model: str, camera: str) -> str:
    """What a person should know whose thermal model is given colour."""
    return (
        f"model {model} is for thermal images and {camera} gives colour: what it finds there is "
        "not reliable; give it the thermal camera's images, or take a model for rgb"
    )
