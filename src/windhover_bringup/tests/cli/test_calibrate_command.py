import cv2
import numpy as np
import pytest

from windhover.pairing.files import FixedHomography, load_rgbt
from windhover_bringup.cli import main
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import scene_calibration


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    """A rendered pair, hovering, as files."""
    folder = tmp_path_factory.mktemp("flight")
    config = SceneConfig(seed=101, altitude_m=40, pitch_deg=60, time_of_day="day", motion=0)
    drawn = Scene(config).render(0, "both")
    cv2.imwrite(str(folder / "rgb.png"), drawn.rgb)
    cv2.imwrite(str(folder / "thermal.png"), drawn.thermal)
    return folder


def scene(flight, out, *more):
    return main(
        ["calibrate", "scene", "--rgb", str(flight / "rgb.png"), "--thermal",
         str(flight / "thermal.png"), "--altitude", "40", "--pitch", "60", "--out", str(out),
         "--rgb-hfov", "66", "--thermal-hfov", "60", "--baseline", "0.06,0,0.01", *more]
    )  # fmt: skip


def test_a_scene_gives_a_calibration_and_a_report(flight, tmp_path, capsys):
    assert scene(flight, tmp_path) == 0
    assert "median residual" in capsys.readouterr().out
    found = load_rgbt(tmp_path / "rgbt.yaml")
    true = scene_calibration(SceneConfig())
    turn = found.extrinsics.rotation @ true.extrinsics.rotation.T
    assert np.degrees(np.linalg.norm(cv2.Rodrigues(turn)[0])) < 0.15
    assert found.residual_px < 1.5
    report = cv2.imread(str(tmp_path / "report.png"))
    assert report.shape[0] > 800


def test_one_homography_where_that_is_asked(flight, tmp_path):
    assert scene(flight, tmp_path, "--fixed") == 0
    assert isinstance(load_rgbt(tmp_path / "rgbt.yaml"), FixedHomography)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--rgb-hfov": "0"}, "--rgb-hfov"),
        ({"--baseline": "6 cm"}, "right,down,forward"),
        ({"--rgb": "/nowhere"}, "/nowhere"),
        ({"--altitude": "-3"}, "altitude"),
        ({"--thermal-lens": "/nowhere/lens.yaml"}, "/nowhere/lens.yaml is not there"),
    ],
)
def test_a_wrong_input_is_one_line_and_status_2(flight, tmp_path, capsys, change, words):
    given = {
        "--rgb": str(flight / "rgb.png"), "--thermal": str(flight / "thermal.png"),
        "--altitude": "40", "--out": str(tmp_path), "--rgb-hfov": "66", "--thermal-hfov": "60",
    } | change  # fmt: skip
    assert main(["calibrate", "scene", *(word for pair in given.items() for word in pair)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_pictures_without_a_board_are_refused(flight, tmp_path, capsys):
    arguments = ["--columns", "8", "--rows", "5", "--square", "0.05", "--out", str(tmp_path)]
    pictures = ["--rgb", str(flight / "rgb.png"), "--thermal", str(flight / "thermal.png")]
    assert main(["calibrate", "board", *pictures, *arguments]) == 2
    assert "in 0 RGB pictures and 8 are needed" in capsys.readouterr().err
