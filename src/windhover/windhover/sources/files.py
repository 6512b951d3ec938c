"""Frames from image files: one, or a folder of them in natural order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from windhover.errors import EncodingError, SourceError
from windhover.imaging.compressed import FourthChannel, decode_image_bytes
from windhover.sources.exif import read_exif, turn_upright
from windhover.sources.options import DEFAULT_RATE_HZ, Camera, SourceOptions
from windhover.sources.palette import OnWarning, Palette, to_thermal
from windhover.sources.radiometric import read_counts
from windhover.sources.recorded import DecodedFrame, RecordedSource
from windhover.sources.tiff import only_directory, picture_directories
from windhover.types import Image

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp", ".fff",
)  # fmt: skip


class ImageFiles(RecordedSource):
    """One image file, or all of a folder; stamps are start + index / rate.

    Sizes and encodings may differ from file to file: each frame says its own.

    Attributes:
        paths: the files in order; that of a frame is ``paths[frame.index % len(paths)]``.
    """

    def __init__(self, path: Path, name: str, options: SourceOptions) -> None:
        """List the files.

        Args:
            path: an image file or a folder that holds some.
            name: the URI, for messages.
            options: ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``,
                ``camera``, ``as_gray``, ``fourth_channel``, ``palette``, ``page`` and
                ``on_bad`` are read.

        Raises:
            SourceError: nothing there, or no image in the folder.
        """
        self.paths = _list_images(path) if path.is_dir() else [path]
        rate_hz = options.rate_hz or DEFAULT_RATE_HZ
        super().__init__(name, rate_hz, len(self.paths), options)

    def _read(self) -> Iterator[DecodedFrame | SourceError]:
        options, warned = self._options, False

        def warn(text: str) -> None:
            nonlocal warned
            if options.on_warning is not None and not warned:
                options.on_warning(text)
            warned = True

        for index, path in enumerate(self.paths):
            stamp_ns = options.start_stamp_ns + round(index * 1e9 / self._rate_hz)
            try:
                image, encoding = read_image(
                    path,
                    options.fourth_channel,
                    camera="thermal" if options.thermal else options.camera,
                    palette=options.palette,
                    page=options.page,
                    on_warning=warn,
                )
            except SourceError as error:
                yield error
                continue
            yield DecodedFrame(image, encoding, stamp_ns)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``frame9`` before ``frame10``."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(
        (1, int(part), part) if part.isdecimal() and part.isascii() else (0, 0, part.casefold())
        for part in parts
        if part
    )


def read_image(
    path: Path,
    fourth: FourthChannel = "alpha",
    *,
    camera: Camera | None = None,
    palette: Palette = "auto",
    page: int | None = None,
    on_warning: OnWarning | None = None,
) -> tuple[Image, str]:
    """Read one image file.

    Args:
        path: JPEG, PNG, BMP, TIFF, PGM, PPM, WebP, or a thermal camera's R-JPEG or FFF.
        fourth: what the last of four channels is.
        camera: whose picture is wanted. ``rgb`` takes an R-JPEG's picture; ``thermal``
            takes its counts, and makes other pictures grey that rises with temperature;
            ``None`` takes counts where there are some, else the picture as it is.
        palette: what a thermal camera's picture without counts is in.
        page: of a TIFF with several, 0 for the first; ``None`` refuses such a file.
        on_warning: called where a picture in colour is made grey for ``thermal``.

    Returns:
        The upright image and its encoding: ``mono8``, ``mono16``, ``bgr8``, or ``8UC4``
        (B, G, R, T).

    Raises:
        SourceError: it can't be opened, is truncated or damaged, has pixels of another
            kind, has several pages or not the one asked for, or is a thermal picture in
            a colour palette that was not named.
    """
    what = f"image {path}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read image {path}: {error.strerror or error}") from error
    exif = read_exif(data)
    counts = read_counts(data, what) if camera != "rgb" else None
    if counts is not None:
        return turn_upright(counts, exif.orientation), "mono16"
    if camera == "rgb" and path.suffix.lower() == ".fff":
        raise SourceError(f"{what} holds thermal counts only: use it for the thermal camera")
    data = _one_page(data, page, what)
    try:
        image, encoding = decode_image_bytes(data, what, fourth=fourth, upright=True)
    except EncodingError as error:
        raise SourceError(str(error)) from error
    if camera == "thermal":
        return to_thermal(
            image, encoding, palette, exif.description, what=what, on_warning=on_warning
        )
    return image, encoding


def _one_page(data: bytes, page: int | None, what: str) -> bytes:
    """The file, or that page of it as a file, so that no picture is left out in silence."""
    pages = picture_directories(data)
    if len(pages) > 1 and page is None:
        raise SourceError(
            f"{what} has {len(pages)} pages: choose one with ?page=0 to ?page={len(pages) - 1}, "
            "or save each as a file"
        )
    index = page or 0
    if page is not None and page >= max(len(pages), 1):
        raise SourceError(f"{what} has {max(len(pages), 1)} page(s), no page {page} (0 = first)")
    return only_directory(data, pages[index]) if pages else data


def _list_images(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise SourceError(f"cannot read folder {folder}: {error.strerror or error}") from error
    paths = [
        entry
        for entry in entries
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    ]
    if not paths:
        raise SourceError(f"no images in folder {folder}: looked for {', '.join(IMAGE_SUFFIXES)}")
    return sorted(paths, key=lambda entry: natural_key(entry.name))
