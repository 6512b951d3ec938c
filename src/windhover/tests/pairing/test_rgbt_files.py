import numpy as np
import pytest
import yaml

from windhover.errors import CalibrationError
from windhover.geometry import Lens
from windhover.pairing.files import (
    FixedHomography,
    RgbtCalibration,
    load_rgbt,
    open_calibration,
    save_rgbt,
)
from windhover_sim import SceneConfig
from windhover_sim.calibration import scene_calibration


def made():
    true = scene_calibration(SceneConfig())
    bent = Lens(1280, 720, true.rgb.matrix, np.array([-0.2, 0.05, 0.001, 0.0, 0.0]))
    return RgbtCalibration(bent, true.thermal, true.extrinsics, 0.42)


def test_what_is_saved_is_what_is_read(tmp_path):
    path = save_rgbt(tmp_path / "cal", made(), {"method": "board"})
    read = load_rgbt(path)
    for ours, theirs in ((read.rgb, made().rgb), (read.thermal, made().thermal)):
        np.testing.assert_array_equal(ours.matrix, theirs.matrix)
        np.testing.assert_array_equal(ours.distortion, theirs.distortion)
    np.testing.assert_array_equal(read.extrinsics.rotation, made().extrinsics.rotation)
    np.testing.assert_array_equal(read.extrinsics.translation, made().extrinsics.translation)
    assert read.residual_px == 0.42
    assert read.origin == str(path)


def test_a_fixed_homography_needs_no_lens(tmp_path):
    matrix = np.array([[0.5, 0, 3], [0, 0.5, 4], [0, 0, 1.0]])
    path = save_rgbt(tmp_path, FixedHomography(matrix, (1280, 720), (640, 512)))
    read = load_rgbt(path)
    np.testing.assert_array_equal(read.matrix, matrix)
    assert (read.rgb_size, read.thermal_size) == ((1280, 720), (640, 512))
    assert not (tmp_path / "rgb.yaml").exists()


def test_a_scenes_calibration_is_known():
    assert open_calibration("") is None
    calibration = open_calibration("scene:demo?seed=3")
    assert calibration.rgb.size == (1280, 720)
    small = open_calibration("scene:demo?size=320x256&camera=thermal")
    assert small.rgb.size == small.thermal.size == (320, 256)
    with pytest.raises(CalibrationError, match="no scene named"):
        open_calibration("scene:nowhere")


def spoil(change):
    def spoiled(folder):
        path = save_rgbt(folder, made())
        document = yaml.safe_load(path.read_text())
        change(document, folder)
        path.write_text(yaml.safe_dump(document))
        return path

    return spoiled


def text(content):
    def spoiled(folder):
        path = folder / "rgbt.yaml"
        path.write_bytes(content)
        return path

    return spoiled


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda folder: folder / "gone.yaml", "can't be read"),
        (text(b"a: [1"), "is not YAML"),
        (text(b"\xff\xfe\x00"), "is not YAML"),
        (text(b"- 1"), "holds no fields"),
        (text(b"1: 2"), "malformed"),
        (spoil(lambda d, _: d.update(format=2)), "format"),
        (spoil(lambda d, _: d.update(colour="red")), "colour"),
        (spoil(lambda d, _: d.pop("rotation")), "give rotation and translation_m"),
        (spoil(lambda d, _: d.update(rotation=[1.0] * 9)), "no rotation matrix"),
        (spoil(lambda d, _: d.update(rotation=[1.0] * 8)), "rotation"),
        (spoil(lambda d, _: d.update(translation_m=[float("nan"), 0.0, 0.0])), "translation_m"),
        (spoil(lambda d, _: d.update(homography=[0.0] * 9)), "singular"),
        (spoil(lambda d, _: d["rgb"].update(width=640)), "is for 1280x720"),
        (spoil(lambda d, folder: (folder / "thermal.yaml").unlink()), "thermal.yaml is not there"),
        (spoil(lambda d, folder: (folder / "rgb.yaml").write_text("{}")), "image_width"),
        (spoil(lambda d, _: d["rgb"].update(intrinsics="")), "intrinsics"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, spoiled, words):
    path = spoiled(tmp_path)
    with pytest.raises(CalibrationError, match=words) as error:
        load_rgbt(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("coefficients", "fisheye"),
    [
        ([0.1, -0.02, 0.003, 0.0], True),
        ([0.1, -0.2, 0.0, 0.0, 0.01, 0.3, 0.02, 0.0], False),
        ([0.1, -0.2, 0.0, 0.0, 0.01, 0.3, 0.02, 0.0, 1e-3, 0.0, 2e-3, 0.0], False),
        ([0.1, -0.2, 0.0, 0.0, 0.01, 0.3, 0.02, 0.0, 1e-3, 0.0, 2e-3, 0.0, 0.01, -0.01], False),
    ],
)
def test_any_lens_is_carried_through_a_file(tmp_path, coefficients, fisheye):
    true = made()
    lens = Lens(1280, 720, true.rgb.matrix, np.array(coefficients), fisheye)
    read = load_rgbt(save_rgbt(tmp_path, RgbtCalibration(lens, true.thermal, true.extrinsics)))
    assert read.rgb.fisheye is fisheye
    np.testing.assert_array_equal(read.rgb.distortion, coefficients)


def test_a_package_and_home_are_found(tmp_path, monkeypatch):
    prefix = tmp_path / "install"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "my_drone").touch()
    save_rgbt(prefix / "share" / "my_drone" / "calib", made())
    save_rgbt(tmp_path / "home" / "calib", made())
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{prefix}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "home"))
    for text in (
        "package://my_drone/calib/rgbt.yaml",
        "~/calib/rgbt.yaml",
        "${ROS_HOME}/calib/rgbt.yaml",
        "file://${ROS_HOME}/calib/rgbt.yaml",
        f"file://{tmp_path}/home/calib/rgbt.yaml",
    ):
        assert open_calibration(text).residual_px == 0.42
    for text, words in (
        ("package://your_drone/calib/rgbt.yaml", "no ROS package 'your_drone'"),
        ("package://my_drone/rgbt.yaml", "can't be read"),
        ("${NAME}/rgbt.yaml", "only \\${ROS_HOME} is filled in"),
    ):
        with pytest.raises(CalibrationError, match=words):
            open_calibration(text)
