"""Pictures of a data set as the frames that a bundle takes.

A picture is one file, of whatever it holds, or the files of the two cameras on one grid:
a truth file's record then names them as ``rgb`` and ``thermal`` beside ``file_name``.
Where a model looks at one camera and only the other is there, its grey stands in; where
it looks at both, the one that is missing is black, as where a camera fails in flight.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.formats import Channels, to_bgr, to_channels, to_gray8
from windhover.pairing.registration import merge_rgbt
from windhover.sources.files import read_image
from windhover.types import Frame, Image
from windhover_evaluation.detection.truth import TruthImage

#: One file; or the visible and the thermal one of a pair, None where there is none.
Files = tuple[Path | None, ...]
#: Grey level below which a colour picture shows nothing to a person who looks at it.
_DARK = 32


@dataclass(frozen=True, slots=True)
class Cameras:
    """What the cameras saw at one instant, on one grid; one of the two is always there.

    Attributes:
        colour: ``(H, W, 3)`` uint8 B, G, R; ``None`` where there is none.
        thermal: ``(H, W)`` uint8, or uint16 counts; ``None`` likewise.
        named: whether it is said which camera each file is of.
    """

    colour: NDArray[np.uint8] | None
    thermal: Image | None
    named: bool

    def lacking(self, channels: Channels) -> str | None:
        """The camera that a bundle of such channels looks at and that is not there."""
        if self.colour is None and channels != "thermal":
            return "RGB"
        # A colour file that nobody names may well be thermal that was saved so.
        if self.thermal is None and (channels == "rgbt" or (channels == "thermal" and self.named)):
            return "thermal"
        return None

    def frame(self, channels: Channels, row: int = 0) -> Frame:
        """What a bundle of such channels is given; ``row`` is the picture's in its set."""
        if channels == "rgbt":
            colour, grey = self.colour, None
            if self.thermal is not None:
                grey = to_gray8(self.thermal, self._thermal_encoding)
                colour = np.zeros((*grey.shape, 3), np.uint8) if colour is None else colour
            assert colour is not None, "one camera is always there"
            return Frame(merge_rgbt(colour, grey), "8UC4", 0, index=row)
        image, encoding = self._first("thermal" if channels == "thermal" else "rgb")
        return Frame(image, encoding, 0, index=row)

    def shown(self) -> tuple[Image, str]:
        """The picture in which a person sees most, and its encoding."""
        dark = self.colour is not None and self.colour.mean() < _DARK
        return self._first("thermal" if dark else "rgb")

    @property
    def _thermal_encoding(self) -> str:
        return "mono16" if self.thermal is not None and self.thermal.itemsize == 2 else "mono8"

    def _first(self, camera: str) -> tuple[Image, str]:
        """This camera's picture and its encoding, or the other's where it is not there."""
        if self.thermal is not None and (camera == "thermal" or self.colour is None):
            return self.thermal, self._thermal_encoding
        assert self.colour is not None, "one camera is always there"
        return self.colour, "bgr8"


def picture_files(image: TruthImage, folder: Path, channels: Channels) -> Files:
    """The files of a truth's image that a bundle of such channels looks at.

    Args:
        image: with or without files named by camera.
        folder: of the images. A file that is not there by its whole name is looked for by
            its last part; one of a pair, whose two files may share that, beside the folder.
        channels: of the bundle.
    """
    if not image.cameras:
        return (_place(image.file_name, folder, folder / Path(image.file_name).name),)
    pair = len(image.cameras) > 1
    wanted = {channels: image.cameras[channels]} if channels in image.cameras else image.cameras
    places = {
        camera: _place(name, folder, folder.parent / name if pair else folder / Path(name).name)
        for camera, name in wanted.items()
    }
    return places.get("rgb"), places.get("thermal")


def _place(name: str, folder: Path, other: Path) -> Path:
    whole = folder / name
    return other if not whole.is_file() and other.is_file() else whole


def read_cameras(files: Files) -> Cameras:
    """Read a picture's files.

    Args:
        files: of one picture; a lone one is thermal where it is grey, and both cameras
            where it has four channels.

    Raises:
        DataError: a pair is not of one size.
        SourceError: a file can't be read.
    """
    colour: NDArray[np.uint8] | None = None
    thermal: Image | None = None
    named = len(files) > 1
    for path, camera in zip(files, ("rgb", "thermal") if named else ("",), strict=True):
        if path is None:
            continue
        pixels, encoding = read_image(path)
        if encoding == "8UC4":
            colour = to_channels(pixels, encoding, "rgb")
            thermal = to_channels(pixels, encoding, "thermal")
        elif camera == "rgb" or (not named and encoding == "bgr8"):
            colour = to_bgr(pixels, encoding)
        else:
            thermal = to_gray8(pixels, encoding) if encoding == "bgr8" else pixels
    if colour is not None and thermal is not None and colour.shape[:2] != thermal.shape:
        sizes = (f"{each.shape[1]}x{each.shape[0]}" for each in (colour, thermal))
        raise DataError(
            f"{files[0]} and {files[1]} are not of one size ({' and '.join(sizes)}), as a pair "
            "on one grid is; convert them again"
        )
    return Cameras(colour, thermal, named)


class MissingCameraCounter:
    """Counts the pictures that lack a camera, and says so."""

    def __init__(self, channels: Channels) -> None:
        self._channels: Channels = channels
        self._counts: Counter[str] = Counter()

    def note(self, cameras: Cameras) -> None:
        """Take in one picture."""
        camera = cameras.lacking(self._channels)
        if camera:
            self._counts[camera] += 1

    def warnings(self, total: int) -> list[str]:
        """A sentence for each camera that was missing in some of ``total`` pictures."""
        both = self._channels == "rgbt"
        instead = "the model saw black there" if both else "the other camera's grey stood in"
        return [
            f"{count} of {total} images have no {camera} picture: {instead}"
            for camera, count in sorted(self._counts.items())
        ]
