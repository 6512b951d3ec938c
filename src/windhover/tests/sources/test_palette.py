"""Thermal pictures without counts: grey that rises with temperature, or a refusal."""

import cv2
import numpy as np
import pytest

from tests.support.pictures import exif_jpeg
from windhover.errors import SourceError
from windhover.imaging.colour import is_coloured, is_false_colour
from windhover.sources import open_source
from windhover.sources.files import read_image
from windhover.sources.palette import PALETTES, ThermalConverter

HEAT = np.add.outer(np.arange(48) * 2, np.arange(64) * 2).astype(np.uint8)
GREY = cv2.cvtColor(HEAT, cv2.COLOR_GRAY2BGR)
COLOURED = cv2.applyColorMap(cv2.normalize(HEAT, None, 0, 255, cv2.NORM_MINMAX), cv2.COLORMAP_JET)
IRON = cv2.applyColorMap(cv2.normalize(HEAT, None, 0, 255, cv2.NORM_MINMAX), cv2.COLORMAP_INFERNO)
# An aerial picture: grass, asphalt, a red car.
DAYLIGHT = np.full((48, 64, 3), (70, 110, 95), np.uint8)
DAYLIGHT[:, 40:] = (120, 118, 121)
DAYLIGHT[10:14, 44:52] = (30, 25, 200)


def rank_correlation(image: np.ndarray) -> float:
    """Spearman's, of a picture with the heat that it shows."""
    ranks = [np.argsort(np.argsort(each.ravel(), kind="stable")) for each in (image, HEAT)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("colours", ["JET", "RAINBOW", "HSV", "INFERNO", "PLASMA", "HOT"])
def test_colour_palettes_differ_from_grey_and_from_daylight(colours):
    heat = cv2.normalize(HEAT, None, 0, 255, cv2.NORM_MINMAX)
    assert is_false_colour(cv2.applyColorMap(heat, getattr(cv2, f"COLORMAP_{colours}")), "bgr8")
    assert not is_false_colour(GREY, "bgr8")
    assert not is_false_colour(DAYLIGHT, "bgr8")


def test_a_colour_palette_is_refused_until_it_is_named(tmp_path):
    (tmp_path / "1.jpg").write_bytes(exif_jpeg(COLOURED, 1, "Rainbow1"))
    with pytest.raises(
        SourceError, match=r"1\.jpg is in a colour palette \(Rainbow1\).*\?palette="
    ):
        list(open_source(tmp_path, camera="thermal"))
    assert read_image(tmp_path / "1.jpg")[1] == "bgr8"
    (tmp_path / "1.jpg").write_bytes(exif_jpeg(IRON, 1))
    (frame,) = open_source(f"{tmp_path}?palette=ironbow", camera="thermal")
    assert frame.encoding == "mono8"
    assert rank_correlation(frame.image) > 0.98
    with pytest.raises(SourceError, match="palette must be auto or white-hot"):
        open_source(tmp_path, palette="sepia")


def test_black_hot_is_inverted_where_the_file_or_the_user_says_so(tmp_path):
    black_hot = 255 - GREY
    (tmp_path / "1.jpg").write_bytes(exif_jpeg(black_hot, 1, "BlackHot"))
    (tmp_path / "2.jpg").write_bytes(exif_jpeg(black_hot, 1))
    (tmp_path / "3.jpg").write_bytes(exif_jpeg(GREY, 1, "WhiteHot"))
    automatic = [rank_correlation(frame.image) for frame in open_source(tmp_path, as_gray=True)]
    assert automatic == pytest.approx([1, -1, 1], abs=0.02)
    (frame,) = open_source(f"images:{tmp_path / '2.jpg'}?palette=black-hot", camera="thermal")
    assert rank_correlation(frame.image) > 0.98


def test_daylight_is_made_grey_with_one_warning(tmp_path):
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), DAYLIGHT)
    assert is_coloured(DAYLIGHT, "bgr8")
    warnings = []
    frames = list(open_source(tmp_path, camera="thermal", on_warning=warnings.append))
    assert [frame.encoding for frame in frames] == ["mono8", "mono8"]
    assert len(warnings) == 1
    assert "1.png is in colour and is made grey for the thermal camera" in warnings[0]
    for folder, camera in ((f"{tmp_path}?palette=white-hot", "thermal"), (tmp_path, "rgb")):
        list(open_source(folder, camera=camera, on_warning=warnings.append))
    assert len(warnings) == 1


@pytest.mark.parametrize("palette", PALETTES)
def test_counts_stay_as_they_are(palette):
    counts = np.arange(6, dtype=np.uint16).reshape(2, 3)
    image, encoding = ThermalConverter(palette).convert(counts, "mono16", "it")
    assert encoding == "mono16"
    np.testing.assert_array_equal(image, counts)


def test_only_the_first_frame_of_a_stream_is_looked_at():
    converter = ThermalConverter("auto")
    with pytest.raises(SourceError, match="colour palette"):
        converter.convert(COLOURED, "bgr8", "it")
    assert not converter.checked
    converter.convert(GREY, "bgr8", "it")
    assert converter.checked
    image, _ = converter.convert(HEAT, "mono8", "it")
    np.testing.assert_array_equal(image, HEAT)
