"""The second graph finds what lies in chips, and says whose it is and where in the frame."""

import numpy as np
import pytest

from windhover.errors import BackendError, BundleError
from windhover.second_look.runner import SecondLook
from windhover.types import FullFrame
from windhover_sim.blob_bundle import build_blob_bundle

LABELS = ("vehicle", "tree", "person")
GREY = 40


@pytest.fixture(scope="module")
def chip_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "chips"
    return build_blob_bundle(folder, height=160, width=160, channels="rgb", batch=4)


@pytest.fixture
def second(chip_bundle):
    look = SecondLook(chip_bundle, LABELS, "cpu")
    yield look
    look.close()


def frame_with(*boxes):
    """A 4K frame with red rectangles as bright as a person's."""
    image = np.full((2160, 3840, 3), GREY, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2, 2] = 230
    return FullFrame(image, "bgr8")


def test_boxes_are_in_the_frames_pixels_with_class_and_person(second):
    objects = [(1000, 800, 1060, 824), (3000, 1500, 3048, 1530)]
    centers = np.array([[1020.0, 830.0], [500.0, 500.0], [3010.5, 1520.25]])
    found = second.look(frame_with(*objects), centers, np.array([200.0, 200.0, 216.0]))
    assert found.looked == 3
    order = np.argsort(found.boxes[:, 0])
    assert found.person_rows[order].tolist() == [0, 2]
    assert {LABELS[i] for i in found.class_ids} == {"person"}
    # The blob graph counts whole chip pixels, each 1.25 to 1.35 of the frame's.
    np.testing.assert_allclose(found.boxes[order], objects, atol=2.0)


def test_more_people_than_a_batch_are_looked_at_in_turns(second):
    objects = [(200 + 350 * i, 1000, 250 + 350 * i, 1030) for i in range(10)]
    centers = np.array([[225.0 + 350 * i, 1015.0] for i in range(10)])
    found = second.look(frame_with(*objects), centers, np.full(10, 160.0))
    assert found.looked == 10
    assert sorted(found.person_rows.tolist()) == list(range(10))
    assert second.batch_ns > 0
    assert second.batch == 4


def test_an_object_in_two_chips_is_given_once_to_the_nearer_person(second):
    frame = frame_with((1000, 1000, 1040, 1030))
    centers = np.array([[1050.0, 1015.0], [1025.0, 1015.0]])
    found = second.look(frame, centers, np.full(2, 200.0))
    assert found.person_rows.tolist() == [1]


def test_what_lies_at_the_chips_edge_is_another_persons(second):
    frame = frame_with((1060, 1000, 1090, 1030))
    found = second.look(frame, np.array([[1000.0, 1015.0]]), np.array([200.0]))
    assert len(found) == 0
    assert found.looked == 1


def test_nobody_to_look_at_runs_nothing(second):
    found = second.look(frame_with(), np.empty((0, 2)), np.empty(0))
    assert (len(found), found.looked) == (0, 0)


def test_a_graph_that_does_not_suit_is_refused(chip_bundle, tmp_path):
    with pytest.raises(BundleError, match="no label"):
        SecondLook(chip_bundle, ("weapon",), "cpu")
    wide = build_blob_bundle(tmp_path / "wide", height=160, width=192, channels="rgb")
    with pytest.raises(BundleError, match="square RGB chips"):
        SecondLook(wide, LABELS, "cpu")


def test_a_failing_backend_is_an_error_of_the_backend(chip_bundle):
    class Broken:
        name = device = "broken"

        def run(self, image):
            raise BackendError("the graph did not run")

        def close(self):
            pass

    with pytest.raises(BackendError, match="did not run"):
        SecondLook(chip_bundle, LABELS, Broken()).look(
            frame_with(), np.array([[100.0, 100.0]]), np.array([200.0])
        )
