"""What becomes of a match whose frames can't all be used."""

import numpy as np
import pytest

from windhover.errors import CalibrationError, EncodingError
from windhover.geometry import Extrinsics, Lens, down_of_pitch
from windhover.pairing.composer import Composer, lens_mismatch
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.pairing.matching import Match
from windhover.pairing.registration import Pose, Registration
from windhover.types import Frame

RGB, THERMAL = Lens.from_hfov((64, 48), 66), Lens.from_hfov((32, 24), 60)
GEOMETRY = RgbtCalibration(RGB, THERMAL, Extrinsics(), None, "my/rgbt.yaml")
POSE = Pose(40.0, down_of_pitch(60))


def rgb(stamp=5, encoding="bgr8"):
    return Frame(np.full((48, 64, 3), 90, np.uint8), encoding, stamp, "front", 7)


def thermal(size=(32, 24)):
    return Frame(np.full(size[::-1], 200, np.uint8), "mono8", 4, "thermal_camera", 3)


def composer(geometry=GEOMETRY):
    return Composer(Registration(geometry))


def test_a_pair_becomes_one_frame():
    composed = composer().compose(Match(rgb(), thermal(), -1), POSE)
    assert composed.problem is None
    assert composed.frame.image[24, 32].tolist() == [90, 90, 90, 200]
    assert (composed.frame.stamp_ns, composed.frame.frame_id) == (5, "front")
    assert composed.pair.thermal is not None


def test_a_thermal_frame_of_another_size_leaves_its_plane_empty():
    composed = composer().compose(Match(rgb(), thermal((16, 12)), -1), POSE)
    assert isinstance(composed.problem, CalibrationError)
    assert composed.pair is None
    assert not composed.frame.image[..., 3].any()
    assert (composed.frame.image[..., :3] == 90).all()


def test_an_rgb_frame_that_is_no_image_gives_none():
    composed = composer().compose(Match(rgb(encoding="mono16"), None, None), POSE)
    assert composed.frame is None
    assert isinstance(composed.problem, EncodingError)


def test_thermal_alone_gets_a_black_image_of_the_last_size():
    one = composer(None)
    alone = one.compose(Match(None, thermal(), None), POSE)
    assert alone.frame.image.shape == (24, 32, 4)
    one.compose(Match(rgb(), None, None), POSE)
    alone = one.compose(Match(None, thermal(), None), POSE)
    assert alone.frame.image.shape == (48, 64, 4)
    assert alone.frame.frame_id == "front"
    assert not alone.frame.image[..., :3].any()
    assert alone.frame.image[..., 3].any()
    assert alone.pair is None


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (RGB, ""),
        (Lens(64, 48, RGB.matrix * [[1.01], [1.01], [1]]), ""),
        (Lens(64, 48, RGB.matrix * [[1.05], [1.05], [1]]), "calibrate again"),
        (Lens.from_hfov((32, 24), 66), "camera_info of rgb (32x24, focal 25)"),
        (Lens(64, 48, RGB.matrix, np.zeros(4), True), "focal 49, fisheye) is not what my/rgbt"),
    ],
)
def test_a_stated_lens_is_compared_with_the_calibration(stated, words):
    message = lens_mismatch(GEOMETRY, "rgb", stated)
    assert (message == "") == (words == "")
    assert words in message


def test_a_homography_has_no_lens_to_compare():
    assert lens_mismatch(FixedHomography(np.eye(3), (1, 1), (1, 1)), "rgb", RGB) == ""
