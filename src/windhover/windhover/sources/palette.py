"""Thermal pictures as grey that rises with temperature, from what colours they were saved in.

A thermal camera that stores no counts stores a picture through a palette. White-hot is
grey already, black-hot is grey the wrong way round, and of the coloured ones only some
have a brightness that rises with temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast, get_args

import numpy as np

from windhover.errors import SourceError
from windhover.imaging.colour import is_coloured, is_false_colour
from windhover.imaging.formats import to_channels
from windhover.types import Image

Palette = Literal["auto", "white-hot", "black-hot", "ironbow"]
OnWarning = Callable[[str], None]
PALETTES: tuple[str, ...] = get_args(Palette)
"""What ``palette`` may be. ``ironbow`` stands for every colour palette whose brightness
rises with temperature (ironbow, iron red, hot iron, lava)."""


def known_palette(name: str) -> Palette:
    """A palette by its name.

    Raises:
        SourceError: there is none of that name.
    """
    if name not in PALETTES:
        raise SourceError(f"palette must be {' or '.join(PALETTES)}, got {name!r}")
    return cast("Palette", name)


def check_colours(
    image: Image,
    encoding: str,
    *,
    description: str = "",
    what: str,
    on_warning: OnWarning | None = None,
) -> None:
    """Refuse a picture whose grey would not rise with temperature, and warn of daylight.

    Args:
        image: in its canonical ``encoding``; grey always passes.
        encoding: of the image.
        description: EXIF ImageDescription, which may name the palette.
        what: how to name the picture in messages.
        on_warning: called where a picture in colour is no palette's.

    Raises:
        SourceError: it is in a thermal camera's colour palette.
    """
    if not is_false_colour(image, encoding):
        if on_warning is not None and is_coloured(image, encoding):
            on_warning(
                f"{what} is in colour and is made grey for the thermal camera: a model for "
                "thermal images is not reliable on it; give the thermal camera's pictures, or "
                "take a model for rgb"
            )
        return
    named = f" ({description})" if description and description != "default" else ""
    raise SourceError(
        f"{what} is in a colour palette{named} and holds no thermal counts; use the camera's "
        "radiometric files, or name the palette, by --palette or as SOURCE?palette=ironbow: "
        "white-hot, black-hot, or ironbow for any that gets brighter with heat"
    )


def to_thermal(
    image: Image,
    encoding: str,
    palette: Palette = "auto",
    description: str = "",
    *,
    what: str,
    on_warning: OnWarning | None = None,
) -> tuple[Image, str]:
    """Make a picture of a thermal camera grey that rises with temperature.

    Args:
        image: in its canonical ``encoding``.
        encoding: ``mono16`` is taken as counts and stays as it is; of ``8UC4`` the
            thermal channel is taken.
        palette: what the picture is in; ``auto`` takes grey as white-hot unless
            ``description`` says black-hot, and refuses colour palettes.
        description: EXIF ImageDescription; DJI's cameras name their palette there.
        what: how to name the picture in messages.
        on_warning: called where ``auto`` makes colours grey.

    Returns:
        The image and its encoding, ``mono8`` or ``mono16``.

    Raises:
        SourceError: it is in a colour palette and none is named.
    """
    if encoding == "mono16":
        return image, encoding
    if palette == "auto":
        check_colours(image, encoding, description=description, what=what, on_warning=on_warning)
    gray = to_channels(image, encoding, "thermal")
    if palette == "black-hot" or (palette == "auto" and _says_black_hot(description)):
        gray = np.bitwise_not(gray)
    return gray, "mono8"


class ThermalConverter:
    """Makes the frames of one stream grey that rises with temperature.

    A stream keeps its palette, so only the first frame is looked at for false colour.

    Attributes:
        checked: whether the first frame has passed.
    """

    def __init__(self, palette: Palette, on_warning: OnWarning | None = None) -> None:
        """Set up.

        Args:
            palette: what the frames are in, as for :func:`to_thermal`.
            on_warning: as for :func:`to_thermal`.
        """
        self._palette = palette
        self._on_warning = on_warning
        self.checked = palette != "auto"

    def check(self, image: Image, encoding: str, what: str) -> None:
        """Look at the colours of the first frame; does nothing for later ones.

        Args:
            image: in its canonical ``encoding``, not yet made grey.
            encoding: of the image.
            what: how to name the stream in messages.

        Raises:
            SourceError: it is in a colour palette and none is named.
        """
        if not self.checked:
            check_colours(image, encoding, what=what, on_warning=self._on_warning)
            self.checked = True

    def convert(self, image: Image, encoding: str, what: str) -> tuple[Image, str]:
        """Check the first frame, and convert one; see :func:`to_thermal`.

        Raises:
            SourceError: as :meth:`check`.
        """
        self.check(image, encoding, what)
        palette: Palette = "white-hot" if self._palette == "auto" else self._palette
        return to_thermal(image, encoding, palette, what=what)


def _says_black_hot(description: str) -> bool:
    letters = "".join(each for each in description.casefold() if each.isalpha())
    return letters == "blackhot"
