import pytest

pytest.importorskip("rclpy")

import numpy as np
from sensor_msgs.msg import CameraInfo

from windhover.errors import CalibrationError
from windhover_ros.lenses import lens_of

K = [500.0, 0.0, 320.0, 0.0, 500.0, 256.0, 0.0, 0.0, 1.0]


def stated(model="plumb_bob", d=(), k=K):
    info = CameraInfo(width=640, height=512, distortion_model=model, d=list(d), k=k)
    info.header.frame_id = "front"
    return info


@pytest.mark.parametrize(
    ("model", "count", "kept", "fisheye"),
    [
        ("plumb_bob", 5, 5, False),
        ("plumb_bob", 4, 5, False),
        ("rational_polynomial", 8, 8, False),
        ("rational_polynomial", 14, 14, False),
        ("equidistant", 4, 4, True),
        ("fisheye", 4, 4, True),
    ],
)
def test_the_model_of_a_camera_info_is_used(model, count, kept, fisheye):
    lens = lens_of(stated(model, [0.01] * count))
    assert (lens.size, lens.fisheye) == ((640, 512), fisheye)
    assert len(lens.distortion) == kept
    assert lens.distortion[:count].tolist() == [0.01] * count


def test_without_coefficients_there_is_no_distortion():
    for model in ("plumb_bob", ""):
        assert lens_of(stated(model)).is_ideal


def test_zeros_mean_uncalibrated():
    assert lens_of(CameraInfo(width=640, height=512)) is None


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (stated("ftheta", [0.1] * 4), "camera_info of front: distortion_model 'ftheta'"),
        (stated("equidistant"), "equidistant has 4 distortion_coefficients, not 0"),
        (stated("plumb_bob", [0.1] * 8), "plumb_bob has 4 or 5"),
        (stated("plumb_bob", [np.nan] * 5), "not a number"),
        (stated("plumb_bob", k=[*K[:8], np.inf]), "not a number"),
    ],
)
def test_a_lens_that_can_not_be_used_is_refused_by_name(info, words):
    with pytest.raises(CalibrationError, match=words):
        lens_of(info)
