"""The overlay shows every object and hides none."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.class_colours import GREEN, ORANGE, SKY_BLUE, class_colours
from windhover.imaging.overlay import _MAX_COVER, _Placer, draw_overlay

LABELS = ["person", "vehicle", "two-wheeler"]


def draw(image, encoding, boxes, **options):
    count = len(boxes)
    return draw_overlay(
        image,
        encoding,
        np.array(boxes, np.float32).reshape(-1, 4),
        options.pop("scores", np.full(count, 0.875, np.float32)),
        options.pop("class_ids", np.arange(count, dtype=np.int32) % 3),
        options.pop("labels", LABELS),
        **options,
    )


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.full((512, 640), 90, np.uint8), "mono8"),
        (np.full((512, 640), 7000, np.uint16), "mono16"),
        (np.full((512, 640, 3), 90, np.uint8), "bgr8"),
        (np.full((512, 640, 3), 90, np.uint8), "rgb8"),
        (np.full((512, 640, 4), 90, np.uint8), "8UC4"),
    ],
)
def test_every_kind_of_frame_is_drawn_on_a_copy(image, encoding):
    before = image.copy()
    result = draw(image, encoding, [[100, 200, 140, 260]], track_ids=np.array([12]))
    np.testing.assert_array_equal(image, before)
    assert (result.shape[1:], result.dtype) == ((640, 3), np.uint8)
    assert 512 < result.shape[0] < 540
    assert result.shape[0] % 2 == 0
    assert not np.shares_memory(result, image)
    # The line lies just outside the object, in the colour of its class.
    assert (result[230, 99] == ORANGE).all()
    assert (result[230, 140] == ORANGE).all()
    assert (result[199, 120] == ORANGE).all()
    assert (result[260, 120] == ORANGE).all()


def test_objects_keep_their_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (512, 640, 3), np.uint8)
    boxes = [
        [60 + 90 * i, 80 + 90 * j, 70 + 90 * i, 95 + 90 * j] for i in range(6) for j in range(4)
    ]
    result = draw(image, "bgr8", boxes, track_ids=np.arange(24) + 1, caption="t 1.0 s")
    for x1, y1, x2, y2 in boxes:
        np.testing.assert_array_equal(result[y1:y2, x1:x2], image[y1:y2, x1:x2])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_what_lies_in_a_person_s_box_is_drawn_over_it(order):
    boxes = np.array([[100, 100, 140, 180], [100, 100, 120, 130]], np.float32)[order]
    kinds = np.array([0, 1], np.int32)[order]
    scores = np.full(2, 0.9, np.float32)
    picture = np.full((480, 640, 3), 90, np.uint8)
    drawn = draw_overlay(picture, "bgr8", boxes, scores, kinds, ("person", "weapon"))
    person, weapon = class_colours(("person", "weapon"))
    # The left sides share a column of pixels, as far as the smaller box goes.
    assert tuple(drawn[115, 99]) == weapon
    assert tuple(drawn[160, 99]) == person


def test_a_lone_object_gets_its_full_label_above_it():
    image = np.zeros((512, 640), np.uint8)
    with_id = draw(image, "mono8", [[300, 300, 320, 330]], track_ids=np.array([7]))
    plate = (with_id[270:298] == ORANGE).all(-1)
    columns = np.flatnonzero(plate.any(0))
    assert columns.min() == 299
    without = draw(image, "mono8", [[300, 300, 320, 330]])
    shorter = np.flatnonzero((without[270:298] == ORANGE).all(-1).any(0))
    assert columns.max() > shorter.max() > 340
    carried, alone = (
        draw(
            image, "mono8", [[300, 300, 320, 330]], track_ids=np.array([7]),
            carrier_ids=np.array([carrier]),
        )
        for carrier in (12, 0)
    )  # fmt: skip
    np.testing.assert_array_equal(alone, with_id)
    assert np.flatnonzero((carried[270:298] == ORANGE).all(-1).any(0)).max() > columns.max()


def test_a_class_has_its_colour_by_name_in_every_model():
    thermal = ["person", "vehicle", "two-wheeler"]
    both = ["person", "weapon", "motorcycle", "vehicle"]
    assert class_colours(thermal) == (ORANGE, SKY_BLUE, GREEN)
    assert class_colours(both)[3] == class_colours(thermal)[1]
    assert len(set(class_colours(both))) == 4
    others = class_colours(["boat", "person", "horse", "tent"])
    assert others[1] == ORANGE
    assert len(set(others)) == 4
    visdrone = class_colours(["pedestrian", "person", "bicycle", "car", "motorcycle"])
    assert len(set(visdrone)) == 5


def test_more_classes_than_colours_repeat_them():
    assert len(class_colours([f"class {i}" for i in range(80)])) == 80


def test_the_legend_below_the_picture_counts_objects_and_the_caption_is_cut_to_fit():
    image = np.full((512, 640), 200, np.uint8)
    boxes = [[100, 200, 140, 260], [300, 200, 340, 260]]
    result = draw(image, "mono8", boxes, class_ids=np.array([1, 1], np.int32), caption="x" * 500)
    footer = result[512:]
    assert (footer == SKY_BLUE).all(-1).any()
    assert not (footer == ORANGE).all(-1).any()
    assert footer.mean() < 120
    assert (result[:150] == 200).all()
    assert (result[400:512] == 200).all()


def test_an_empty_frame_stays_as_it_is_and_has_the_size_of_all_others():
    image = np.random.default_rng(1).integers(0, 256, (512, 640, 3), np.uint8)
    empty = draw(image, "bgr8", [])
    np.testing.assert_array_equal(empty[:512], image)
    captioned = draw(image, "bgr8", [], caption="no objects")
    np.testing.assert_array_equal(captioned[:512], image)
    assert not np.array_equal(captioned[512:], empty[512:])
    full = draw(image, "bgr8", [[10, 10, 30, 30]] * 3, caption="objects")
    assert full.shape == captioned.shape == empty.shape


def test_labels_of_a_crowd_are_short_so_that_the_ground_is_seen():
    image = np.zeros((512, 640), np.uint8)
    crowd = [
        [20 + 60 * i, 30 + 60 * j, 28 + 60 * i, 45 + 60 * j] for i in range(10) for j in range(8)
    ]
    drawn = draw(image, "mono8", crowd, track_ids=np.arange(80) + 1)
    assert 0.0 < drawn[:512].any(-1).mean() < 0.15
    alone = draw(image, "mono8", crowd[:1], track_ids=np.array([1]))
    ids_only = draw(
        image, "mono8", crowd, track_ids=np.arange(80) + 1, labels=["person", "car", "motorcycle"]
    )
    # With so many objects no name is written, so that a name's length plays no part.
    np.testing.assert_array_equal(ids_only[:512], drawn[:512])
    assert alone[:512].any(-1).sum() > drawn[:512, :75, :].any(-1)[:60].sum()


def test_zoom_enlarges_picture_and_boxes():
    image = np.zeros((256, 320), np.uint8)
    image[100:120, 50:60] = 255
    result = draw(image, "mono8", [[50, 100, 60, 120]], zoom=2)
    assert result.shape[1:] == (640, 3)
    assert result.shape[0] > 512
    assert (result[220, 99] == ORANGE).all()
    assert (result[220, 120] == ORANGE).all()
    assert (result[205:235, 104:116] > 240).all()


def test_boxes_beyond_the_picture_and_unknown_classes_are_harmless():
    image = np.zeros((120, 160), np.uint8)
    boxes = [
        [-50, -50, 500, 400],
        [-1e9, 10, 1e9, 20],
        [np.nan, 0, np.inf, 10],
        [500, 500, 600, 600],
        [10, 10, 10, 10],
    ]
    classes = np.array([0, 1, 99, -1, 2], np.int32)
    result = draw(image, "mono8", boxes, class_ids=classes, track_ids=np.arange(5) + 10**12)
    assert result.shape[1:] == (160, 3)


def test_a_tiny_picture_is_still_drawn():
    drawn = draw(np.zeros((8, 9), np.uint8), "mono8", [[1, 1, 4, 4]], caption="x")
    assert drawn.shape[1:] == (9, 3)


def test_a_wrong_encoding_is_refused():
    with pytest.raises(EncodingError, match="can't be 'yuyv'"):
        draw(np.zeros((8, 9), np.uint8), "yuyv", [])


@given(
    st.lists(
        st.tuples(
            st.integers(-20, 620), st.integers(-20, 500), st.integers(1, 200), st.integers(1, 200)
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(20, 120),
    st.integers(10, 24),
)
def test_labels_hide_neither_objects_nor_labels(rows, width, height):
    rects = np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.int32)
    placer = _Placer(rects, 512, 640)
    drawn = np.zeros((512, 640), bool)
    for row in range(len(rects)):
        spot = placer.place(row, width, height, 1)
        if spot is None:
            continue
        x, y = spot
        assert 0 <= x <= 640 - width
        assert 0 <= y <= 512 - height
        plate = np.zeros((800, 900), bool)
        plate[y : y + height, x : x + width] = True
        assert not drawn[plate[:512, :640]].any()
        drawn |= plate[:512, :640]
        for other, (x1, y1, x2, y2) in enumerate(rects.tolist()):
            if other != row:
                hidden = plate[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)].sum()
                assert hidden <= _MAX_COVER * (x2 - x1) * (y2 - y1)


def test_the_letters_fit_the_plate_and_stand_out():
    result = draw(np.zeros((512, 640), np.uint8), "mono8", [[300, 300, 320, 330]])
    (width, height), _ = cv2.getTextSize("person 0.88", cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    margin = max(2, round(height * 0.3))
    bottom = 300 - 1 - 1  # a line's width above the box's own line
    plate = result[bottom - height - 2 * margin : bottom, 299 : 299 + width + 2 * margin]
    ink = np.abs(plate.astype(int) - ORANGE).sum(-1) > 150
    assert 0.1 < ink.mean() < 0.5
    assert not ink[0].any()
    assert not ink[:, 0].any()
    assert not ink[:, -1].any()
    columns = np.flatnonzero(ink.any(0))
    assert columns.max() - columns.min() > 0.85 * width
