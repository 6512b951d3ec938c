"""Pictures of data sets as frames: one file, or a pair of which each camera is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.pictures import radiometric_jpeg
from windhover.errors import DataError, SourceError
from windhover.imaging.compressed import FourthChannel
from windhover.imaging.formats import Modality
from windhover_evaluation.detection.frames import (
    Files,
    MissingCameraCounter,
    picture_files,
    read_cameras,
)
from windhover_evaluation.detection.truth import TruthImage

RNG = np.random.default_rng(0)
FOUR = RNG.integers(0, 256, (6, 8, 4), np.uint8)
GREY = RNG.integers(0, 256, (6, 8), np.uint8)
COUNTS = RNG.integers(0, 65536, (6, 8), np.uint16)
PAIR = TruthImage(1, "rgb/1.png", 8, 6, cameras={"rgb": "rgb/1.png", "thermal": "thermal/1.png"})

Save = Callable[..., Files]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write pictures, None for a camera that is not there, and give their paths."""

    def write(*pictures: np.ndarray | None) -> Files:
        paths: list[Path | None] = []
        for pixels in pictures:
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
            if pixels is not None:
                assert cv2.imwrite(str(path), pixels)
            paths.append(None if pixels is None else path)
        return tuple(paths)

    return write


def taken(
    files: Files, channels: Modality, fourth: FourthChannel = "alpha"
) -> tuple[np.ndarray, str]:
    frame = read_cameras(files, fourth).frame(channels, 7)
    assert frame.index == 7
    return np.asarray(frame.image), frame.encoding


def test_a_bundle_for_both_cameras_gets_black_for_a_missing_one(save: Save) -> None:
    blind = np.dstack([np.zeros((6, 8, 3), np.uint8), GREY])
    # A thermal camera's file may have three channels: what it is follows from its place.
    for files in (save(GREY), save(None, GREY), save(None, np.dstack([GREY] * 3))):
        image, encoding = taken(files, "rgbt")
        assert encoding == "8UC4"
        np.testing.assert_array_equal(image, blind)
    image, _ = taken(save(FOUR[..., :3], None), "rgbt")
    np.testing.assert_array_equal(image[..., :3], FOUR[..., :3])
    assert not image[..., 3].any()
    image, encoding = taken(save(None, COUNTS), "rgbt")
    assert (image.dtype, encoding) == (np.uint8, "8UC4")
    assert image[..., 3].std() > 20  # tone mapped


@pytest.mark.parametrize("pair", [True, False], ids=["two files", "one of four channels"])
def test_each_bundle_gets_its_cameras(save: Save, pair: bool) -> None:
    files = save(FOUR[..., :3], FOUR[..., 3]) if pair else save(FOUR)
    for channels, expected in (("rgbt", FOUR), ("rgb", FOUR[..., :3]), ("thermal", FOUR[..., 3])):
        np.testing.assert_array_equal(taken(files, channels, "thermal")[0], expected)


def test_alpha_is_not_taken_for_thermal(save: Save) -> None:
    image, encoding = taken(save(FOUR), "thermal")
    assert encoding == "bgr8"
    np.testing.assert_array_equal(image, FOUR[..., :3])


def test_the_other_cameras_grey_replaces_a_missing_one(save: Save) -> None:
    image, encoding = taken(save(None, GREY), "rgb")
    assert encoding == "mono8"
    np.testing.assert_array_equal(image, GREY)
    assert taken(save(FOUR[..., :3], None), "thermal")[1] == "bgr8"
    # Counts stay counts: how they become grey is the bundle's to say.
    image, encoding = taken(save(COUNTS), "thermal")
    assert encoding == "mono16"
    np.testing.assert_array_equal(image, COUNTS)


def test_a_radiometric_file_gives_what_the_bundle_looks_at(tmp_path: Path) -> None:
    counts = np.add.outer(np.arange(60) * 70, np.arange(80) * 30).astype(np.uint16)
    path = tmp_path / "1.jpg"
    path.write_bytes(radiometric_jpeg(counts))
    thermal = read_cameras((path,), lone="thermal")
    assert thermal.colour is None
    np.testing.assert_array_equal(thermal.thermal, counts)
    assert read_cameras((path,), lone="rgb").thermal is None
    np.testing.assert_array_equal(read_cameras((None, path)).thermal, counts)


def test_a_palette_without_counts_is_refused_until_it_is_named(save: Save) -> None:
    heat = np.tile(np.arange(0, 256, 4, np.uint8), (48, 1))
    coloured = save(None, cv2.applyColorMap(heat, cv2.COLORMAP_JET))
    with pytest.raises(SourceError, match=r"colour palette.*--palette"):
        read_cameras(coloured)
    black_hot = read_cameras(save(255 - heat), lone="thermal", palette="black-hot")
    np.testing.assert_array_equal(black_hot.thermal, heat)


def test_a_pair_must_be_on_one_grid(save: Save, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.png and .*1\.png are not of one size \(8x6 and 8x3"):
        read_cameras(save(FOUR[..., :3], GREY[:3]))
    with pytest.raises(SourceError, match=r"none\.png"):
        read_cameras((tmp_path / "0.png", tmp_path / "none.png"))


def test_a_missing_camera_is_reported(save: Save) -> None:
    both, thermal, colour = save(FOUR), save(None, GREY), (*save(FOUR[..., :3]), None)
    for channels, files, expected in (
        ("rgbt", thermal, "RGB picture: the model saw black there"),
        ("rgbt", colour, "thermal picture: the model saw black there"),
        ("rgb", thermal, "RGB picture: the other camera's grey stood in"),
        ("thermal", colour, "thermal picture: the other camera's grey stood in"),
    ):
        missing = MissingCameraCounter(channels)
        for each in (both, files):
            missing.note(read_cameras(each, "thermal"))
        assert missing.warnings(2) == [f"1 of 2 images have no {expected}"]
    # Thermal is often saved with three channels; a lone colour file is no sign of a mistake.
    assert read_cameras(colour[:1]).missing_camera("thermal") is None


def test_the_picture_with_more_to_see_is_shown(save: Save) -> None:
    bright, dark = np.full((6, 8, 3), 90, np.uint8), np.full((6, 8, 3), 3, np.uint8)
    assert read_cameras(save(bright, GREY)).shown()[1] == "bgr8"
    assert read_cameras(save(dark, None)).shown()[1] == "bgr8"
    image, encoding = read_cameras(save(dark, GREY)).shown()
    assert encoding == "mono8"
    np.testing.assert_array_equal(image, GREY)


def test_where_files_are_looked_for(tmp_path: Path) -> None:
    for camera in ("rgb", "thermal"):
        (tmp_path / camera).mkdir()
        (tmp_path / camera / "1.png").touch()
    rgb, thermal = tmp_path / "rgb" / "1.png", tmp_path / "thermal" / "1.png"
    # Both files have one last part: it must not find the one for the other.
    for folder in (tmp_path, tmp_path / "rgb", tmp_path / "thermal"):
        assert picture_files(PAIR, folder, "rgbt") == (rgb, thermal)
        assert picture_files(PAIR, folder, "thermal") == (None, thermal)
        assert picture_files(PAIR, folder, "rgb") == (rgb, None)
    alone = TruthImage(1, "rgb/1.png", 8, 6, cameras={"rgb": "rgb/1.png"})
    assert picture_files(alone, tmp_path / "rgb", "thermal") == (rgb, None)
    assert picture_files(TruthImage(1, "a/1.png", 8, 6), tmp_path / "rgb", "rgbt") == (rgb,)
    nowhere = tmp_path / "no" / "where"
    assert picture_files(PAIR, nowhere, "thermal") == (None, nowhere / "thermal" / "1.png")
