"""Calibration files: ROS's own format, and what is wrong with a bad one by name."""

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windhover.calibration import CameraCalibration, load_calibration, save_calibration
from windhover.errors import CalibrationError
from windhover.geometry import Lens

# As cameracalibrator writes it (`rosrun camera_calibration cameracalibrator.py`).
ROS_FILE = """\
image_width: 640
image_height: 512
camera_name: boson
camera_matrix:
  rows: 3
  cols: 3
  data: [770.5, 0.0, 318.2, 0.0, 771.1, 255.4, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.31, 0.11, 0.0004, -0.0002, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [742.0, 0.0, 317.6, 0.0, 0.0, 750.3, 254.9, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "boson.yaml"
    path.write_text(ROS_FILE)
    return path


def test_a_file_of_ros_is_read(file):
    for path in (file, f"file://{file}"):
        found = load_calibration(path)
        assert (found.width, found.height, found.name, found.model) == (
            640, 512, "boson", "plumb_bob",
        )  # fmt: skip
        assert found.k[0].tolist() == [770.5, 0.0, 318.2]
        assert found.d.tolist() == [-0.31, 0.11, 0.0004, -0.0002, 0.0]
        assert found.p[1].tolist() == [0.0, 750.3, 254.9, 0.0]


def test_what_is_written_is_read_again(tmp_path, file):
    first = load_calibration(file)
    save_calibration(first, tmp_path / "again.yaml")
    second = load_calibration(tmp_path / "again.yaml")
    for name in ("width", "height", "model", "name"):
        assert getattr(first, name) == getattr(second, name)
    for name in ("k", "d", "r", "p"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(
    ("keys", "count", "model"),
    [
        ({"camera_model": "fisheye"}, 4, "equidistant"),
        ({"distortion_model": "fisheye"}, 4, "equidistant"),
        ({"distortion_model": "equidistant", "camera_model": "fisheye"}, 4, "equidistant"),
        ({"camera_model": "plumb_bob"}, 5, "plumb_bob"),
        ({"camera_model": "pinhole", "distortion_model": "radtan"}, 4, "plumb_bob"),
        ({}, 5, "plumb_bob"),
        ({"camera_model": "pinhole"}, 8, "rational_polynomial"),
        ({}, 12, "rational_polynomial"),
        ({"distortion_model": "rational_polynomial"}, 14, "rational_polynomial"),
    ],
)
def test_the_model_is_read_where_calibrators_write_it(file, keys, count, model):
    document = yaml.safe_load(ROS_FILE)
    del document["distortion_model"]
    document["distortion_coefficients"] = {"rows": 1, "cols": count, "data": [0.01] * count}
    file.write_text(yaml.safe_dump({**document, **keys}))
    assert load_calibration(file).model == model


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("%YAML:1.0\n---\nimage_width: 640\n", "an OpenCV FileStorage"),
        ("a: !!opencv-matrix\n   rows: 3\n", "an OpenCV FileStorage"),
        ('<?xml version="1.0"?>\n<opencv_storage>\n', "an OpenCV FileStorage"),
        ("# oST version 5.0 parameters\n\n[image]\n\nwidth\n640\n", r"an ost\.txt .*ost\.yaml"),
        ("cam0:\n  camera_model: pinhole\n  distortion_coeffs: [0, 0]\n", "a kalibr camchain"),
        ("height: 512\nd: [0.0]\nk: [500.0]\nr: [1.0]\n---\n", "a camera_info message"),
        ("height: 512\nD: [0.0]\nK: [500.0]\nR: [1.0]\n", "a camera_info message"),
    ],
)
def test_files_of_other_tools_are_named(file, text, kind):
    file.write_text(text)
    with pytest.raises(CalibrationError, match=rf"boson\.yaml is {kind}") as caught:
        load_calibration(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["flash:///calib", "https://example.org/calib.yaml"])
def test_urls_that_name_no_file_are_refused(url):
    with pytest.raises(CalibrationError, match="give a path, file:// or package://"):
        load_calibration(url)


def test_an_ideal_lens_sees_its_field_of_view():
    lens = CameraCalibration.ideal(640, 512, 90.0)
    # The outer corners of the first and last columns are 45 degrees off the axis.
    left, right = ((x - lens.k[0, 2]) / lens.k[0, 0] for x in (-0.5, 639.5))
    assert (left, right) == pytest.approx((-1.0, 1.0))


def test_rectification_and_projection_may_be_left_out(file):
    document = yaml.safe_load(ROS_FILE)
    del document["rectification_matrix"], document["projection_matrix"]
    file.write_text(yaml.safe_dump(document))
    found = load_calibration(file)
    np.testing.assert_array_equal(found.r, np.eye(3))
    np.testing.assert_array_equal(found.p[:, :3], found.k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_width": "wide"}, "image_width must be a number of pixels, got 'wide'"),
        ({"image_height": 0}, "image_height"),
        ({"image_width": True}, "image_width must be a number of pixels, got True"),
        ({"image_width": 10**9}, "image_width must be a number of pixels"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [10**400] * 9}}, "too large"),
        ({"camera_matrix": {"rows": float("inf"), "cols": 3, "data": [1.0] * 9}}, "infinity"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [9.0] * 9}}, "must be fx, skew, cx"),
        ({"distortion_model": "plumb_bob", "camera_model": "fisheye"}, "differ"),
        ({"distortion_model": "ftheta"}, "distortion_model 'ftheta' is none of"),
        (
            {
                "distortion_model": None,
                "distortion_coefficients": {"rows": 1, "cols": 4, "data": [0.1, 0, 0, 0]},
            },
            "distortion_model is missing, and 4 distortion_coefficients are those of plumb_bob and "
            "equidistant",
        ),
        (
            {"distortion_model": "rational_polynomial"},
            "rational_polynomial has 8, 12 or 14 distortion_coefficients, not 5",
        ),
        ({"camera_matrix": None}, "camera_matrix with rows, cols and data is missing"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [1.0] * 8}}, "holds 8 numbers"),
        ({"camera_matrix": {"rows": 9, "cols": 1, "data": [1.0] * 9}}, "should be 3x3"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [0.0] * 9}}, "focal lengths"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": ["a"] * 9}}, "could not convert"),
        (
            {"camera_matrix": {"rows": 3, "cols": 3, "data": [float("nan")] * 9}},
            "a value that is not a number",
        ),
        ({"distortion_model": "magic"}, "distortion_model 'magic' is none of plumb_bob"),
        (
            {"distortion_coefficients": {"rows": 1, "cols": 3, "data": [0, 0, 0]}},
            "plumb_bob has 4 or 5 distortion_coefficients, not 3",
        ),
        ({"projection_matrix": {"rows": 3, "cols": 3, "data": [1.0] * 9}}, "should be 3x4"),
    ],
)
def test_a_malformed_file_is_refused_by_name(file, change, message):
    file.write_text(yaml.safe_dump({**yaml.safe_load(ROS_FILE), **change}))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_calibration(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "just words", "a: [1", "- 1\n- 2\n"])
def test_a_file_without_a_calibration_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(CalibrationError, match=r"boson\.yaml"):
        load_calibration(file)


def test_a_folder_is_refused_and_a_missing_file_is_another_error(tmp_path):
    with pytest.raises(CalibrationError, match="can't be read"):
        load_calibration(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_calibration(tmp_path / "nowhere.yaml")


def test_another_size_is_refused(file):
    found = load_calibration(file)
    found.check_size(640, 512, "boson.yaml")
    with pytest.raises(CalibrationError, match=r"boson\.yaml is for 640x512 .* gives 320x256"):
        found.check_size(320, 256, "boson.yaml")


TOKENS = st.sampled_from(
    [b"0", b"-1", b".nan", b".inf", b"1e400", b"9" * 400, b"true", b"~", b"[]", b"{}", b"&a",
     b"*a", b"!!set {a}", b"2026-01-01", b"\x00", b"\xff", b"\n", b": ", b"- ", b"equidistant",
     b"camera_model: 3\n", b"rows: 0"]
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(ROS_FILE)), st.integers(0, 20), TOKENS), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_gives_a_lens_or_one_line(tmp_path, edits):
    text = ROS_FILE.encode()
    for place, length, token in edits:
        text = text[:place] + token + text[place + length :]
    file = tmp_path / "any.yaml"
    file.write_bytes(text)
    problem = ""
    try:
        lens = Lens.of(load_calibration(file))
    except CalibrationError as error:
        problem = str(error)
    if problem:
        assert "\n" not in problem
        return
    centre = lens.matrix[:2, 2][None]
    assert lens.project(lens.rays(centre)) == pytest.approx(centre, abs=1e-3)
