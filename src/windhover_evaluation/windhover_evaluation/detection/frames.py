"""Pictures of a data set as the frames that a bundle takes.

A picture is one file, of whatever it holds, or the files of the two cameras on one grid:
a truth file's record then names them as ``rgb`` and ``thermal`` beside ``file_name``.
A model of one camera gets the other one's grey where its own is missing; a model of both
gets black for a missing one, as where a camera fails in flight.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.compressed import FourthChannel, fourth_channel
from windhover.imaging.formats import Modality, to_bgr, to_channels, to_gray8
from windhover.pairing.registration import merge_rgbt
from windhover.sources.files import read_image
from windhover.sources.options import Camera
from windhover.sources.palette import Palette
from windhover.types import Frame, Image
from windhover_evaluation.detection.truth import Truth, TruthImage

#: One file; or the visible and the thermal one of a pair, None where there is none.
Files = tuple[Path | None, ...]
#: Mean grey level below which a colour picture is too dark to show.
_DARK = 32


class SizeMismatchError(DataError):
    """A picture is not of the size for which its truth was drawn."""


@dataclass(frozen=True, slots=True)
class Cameras:
    """Pictures of the cameras at one time, on one grid; one of the two is always there.

    Attributes:
        colour: ``(H, W, 3)`` uint8 B, G, R; ``None`` where there is none.
        thermal: ``(H, W)`` uint8, or uint16 counts; ``None`` likewise.
        named: whether the truth names the camera of each file.
    """

    colour: NDArray[np.uint8] | None
    thermal: Image | None
    named: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        pixels = self.thermal if self.colour is None else self.colour
        assert pixels is not None, "one camera is always there"
        return pixels.shape[1], pixels.shape[0]

    def missing_camera(self, channels: Modality) -> str | None:
        """The camera that a bundle of these channels needs and that is not there."""
        if self.colour is None and channels != "thermal":
            return "RGB"
        # A colour file that nobody names may well be thermal that was saved so.
        if self.thermal is None and (channels == "rgbt" or (channels == "thermal" and self.named)):
            return "thermal"
        return None

    def frame(self, channels: Modality, row: int = 0) -> Frame:
        """The frame for a bundle of these channels; ``row`` is the picture's in its set."""
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
        """The picture that shows a person most, and its encoding."""
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


def read_truth_picture(
    truth: Truth,
    row: int,
    folder: Path,
    channels: Modality,
    fourth: FourthChannel | None = None,
    palette: Palette = "auto",
) -> Cameras:
    """Read an image of a truth, and check that the truth was drawn for its size.

    Args:
        truth: the objects to be found.
        row: index into ``truth.images``.
        folder: of the images, see :func:`picture_files`.
        channels: of the bundle that is to see it.
        fourth: as :func:`read_cameras`; default thermal for a bundle of both cameras alone.
        palette: what thermal pictures without counts are in.

    Raises:
        SizeMismatchError: the picture has another size than the truth gives, or where that
            gives none, a box is completely outside the picture.
        DataError: a pair is not of one size.
        SourceError: a file can't be read.
    """
    files = picture_files(truth.images[row], folder, channels)
    cameras = read_cameras(
        files,
        fourth or fourth_channel(channels),
        lone=None if channels == "rgbt" else channels,
        palette=palette,
    )
    check_size(truth, row, cameras.size, str(next(file for file in files if file is not None)))
    return cameras


def check_size(truth: Truth, row: int, size: tuple[int, int], name: str) -> None:
    """Refuse a picture of another size than its truth was drawn for.

    Args:
        truth: the objects to be found.
        row: index into ``truth.images``.
        size: width and height of the picture, pixels.
        name: of the picture, for the message.

    Raises:
        SizeMismatchError: as :func:`read_truth_picture`.
    """
    image = truth.images[row]
    expected = (image.width, image.height)
    is_given = image.width > 0 and image.height > 0
    if expected == size:
        return
    width, height = size
    if is_given:
        turned = expected == size[::-1]
        hint = (
            "pictures are read upright, as their EXIF orientation says, so the truth must be of "
            "the upright picture"
            if turned
            else "give the pictures for which the truth was drawn"
        )
        raise SizeMismatchError(
            f"{name} is {width}x{height} pixels and {truth.path} gives "
            f"{image.width}x{image.height} for it; {hint}"
        )
    boxes = truth.boxes[truth.image_rows == row]
    outside = (boxes[:, 0] >= width) | (boxes[:, 1] >= height) | (boxes[:, 2:] <= 0).any(axis=1)
    if outside.any():
        x1, y1, x2, y2 = boxes[outside][0]
        raise SizeMismatchError(
            f"{name} is {width}x{height} pixels and {truth.path} has a box of it at "
            f"{x1:g},{y1:g} to {x2:g},{y2:g}, outside the picture; give the pictures for which "
            "the truth was drawn"
        )


def picture_files(image: TruthImage, folder: Path, channels: Modality) -> Files:
    """The files of a truth's image that a bundle of these channels needs.

    Args:
        image: with or without files named by camera.
        folder: of the images. A file that is not there by its full name is looked for by
            its last part; one of a pair, whose two files may share that, beside the folder.
        channels: of the bundle.
    """
    if not image.cameras:
        last = Path(image.file_name).name.partition("?")[0]
        return (_first_file(folder / image.file_name, folder / last),)
    pair = len(image.cameras) > 1
    wanted = {channels: image.cameras[channels]} if channels in image.cameras else image.cameras
    places = {
        camera: _first_file(
            folder / name, folder.parent / name if pair else folder / Path(name).name
        )
        for camera, name in wanted.items()
    }
    return places.get("rgb"), places.get("thermal")


def _first_file(path: Path, other: Path) -> Path:
    # Not Path.is_file, which raises for names that no file can have.
    return other if not os.path.isfile(path) and os.path.isfile(other) else path  # noqa: PTH113


def read_cameras(
    files: Files,
    fourth: FourthChannel = "alpha",
    *,
    lone: Camera | None = None,
    palette: Palette = "auto",
) -> Cameras:
    """Read a picture's files.

    Args:
        files: of one picture; a lone one is thermal where it is grey.
        fourth: what the last of four channels is. ``thermal`` makes a lone file with
            four channels a picture of both cameras.
        lone: which camera a lone file is read for: of an R-JPEG, its picture or its
            counts; ``None`` takes counts where there are some.
        palette: what thermal pictures without counts are in.

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
        wanted = lone if not named else "rgb" if camera == "rgb" else "thermal"
        pixels, encoding = read_image(path, fourth, camera=wanted, palette=palette)
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
    """Counts the pictures without one of the cameras that a bundle looks at."""

    def __init__(self, channels: Modality) -> None:
        self._channels: Modality = channels
        self._counts: Counter[str] = Counter()

    def note(self, cameras: Cameras) -> None:
        """Count one picture."""
        camera = cameras.missing_camera(self._channels)
        if camera:
            self._counts[camera] += 1

    def warnings(self, total: int) -> list[str]:
        """A warning for each camera that was missing in some of ``total`` pictures."""
        both = self._channels == "rgbt"
        instead = "the model saw black there" if both else "the other camera's grey stood in"
        return [
            f"{count} of {total} images have no {camera} picture: {instead}"
            for camera, count in sorted(self._counts.items())
        ]
