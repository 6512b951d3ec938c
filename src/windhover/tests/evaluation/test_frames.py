"""Pictures of one camera for a bundle that takes two."""

from __future__ import annotations

import numpy as np
import pytest

from windhover.evaluation.frames import frame_for

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(("image", "encoding"), [(GREY, "mono8"), (np.dstack([GREY] * 3), "bgr8")])
def test_the_camera_that_is_not_there_is_black(image: np.ndarray, encoding: str) -> None:
    frame = frame_for("rgbt", image, encoding, 7)
    assert (frame.encoding, frame.index) == ("8UC4", 7)
    thermal, rgb = frame.image[..., 3], frame.image[..., :3]
    np.testing.assert_array_equal(thermal if encoding == "mono8" else rgb[..., 0], GREY)
    assert not (rgb if encoding == "mono8" else thermal).any()


def test_other_bundles_take_pictures_as_they_are() -> None:
    assert frame_for("thermal", GREY, "mono8", 0).image is GREY
    four = np.dstack([GREY] * 4)
    assert frame_for("rgbt", four, "8UC4", 0).image is four
