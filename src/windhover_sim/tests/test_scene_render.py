"""Rendered scenes: images and truth, and that both agree."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import ConfigError
from windhover.sources.base import Source
from windhover.tracking.motchallenge import read_detections
from windhover_evaluation.detection.truth_file import load_truth
from windhover_sim import (
    SCENE_LABELS,
    Scene,
    SceneConfig,
    SceneFrame,
    SceneSource,
    write_scene,
)
from windhover_sim.climate import Climate
from windhover_sim.ground import Ground
from windhover_sim.layout import make_layout

SMALL = SceneConfig(
    seed=5,
    n_people=8,
    n_armed=4,
    n_motorcycles=3,
    n_bicycles=2,
    n_cars=4,
    duration_s=4.0,
    rate_hz=5.0,
    thermal_size=(320, 256),
    rgb_size=(320, 240),
)
NIGHT = dataclasses.replace(SMALL, time_of_day="night", n_people=14, thermal_size=(640, 512))


@functools.cache
def scene(config: SceneConfig) -> Scene:
    return Scene(config)


@functools.cache
def clip() -> list[SceneFrame]:
    return [scene(SMALL).render(index, "both") for index in range(0, 20, 4)]


def test_frame_depends_on_its_index_only() -> None:
    first = scene(SMALL).render(9, "both")
    scene(SMALL).render(2, "rgb")
    again = scene(SMALL).render(9, "both")
    fresh = Scene(SMALL).render(9, "both")
    for other in (again, fresh):
        np.testing.assert_array_equal(first.thermal, other.thermal)
        np.testing.assert_array_equal(first.rgb, other.rgb)
        np.testing.assert_array_equal(first.truth.boxes, other.truth.boxes)
        np.testing.assert_array_equal(first.rgb_truth.visibility, other.rgb_truth.visibility)
    alone = scene(SMALL).render(9, "rgb")
    np.testing.assert_array_equal(first.rgb, alone.rgb)
    np.testing.assert_array_equal(alone.truth.boxes, first.rgb_truth.boxes)


def test_seeds_and_frames_differ() -> None:
    one, two = scene(SMALL).render(0), scene(SMALL).render(1)
    assert (one.thermal != two.thermal).mean() > 0.5
    other = Scene(dataclasses.replace(SMALL, seed=6)).render(0)
    assert np.corrcoef(one.thermal.ravel(), other.thermal.ravel())[0, 1] < 0.9


def test_images_have_the_stated_form() -> None:
    frame = clip()[0]
    assert frame.thermal.shape == (256, 320)
    assert frame.thermal.dtype == np.uint16
    assert frame.rgb.shape == (240, 320, 3)
    assert frame.rgb.dtype == np.uint8
    # Hundredths of a kelvin of ordinary weather, with contrast for a tone mapping.
    assert 26_000 < np.median(frame.thermal) < 32_000
    assert np.percentile(frame.thermal, 99) - np.percentile(frame.thermal, 1) > 200
    steps = np.diff([f.stamp_ns for f in clip()])
    assert set(steps.tolist()) == {800_000_000}


def test_truth_columns_are_sound() -> None:
    for frame in clip():
        for truth, (width, height) in (
            (frame.thermal_truth, SMALL.thermal_size),
            (frame.rgb_truth, SMALL.rgb_size),
        ):
            assert len(truth) > 4
            assert truth.boxes.dtype == np.float32
            assert (truth.boxes[:, :2] >= 0).all()
            assert (truth.boxes[:, 2:] <= [width, height]).all()
            assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()
            # The visible part is inside the complete silhouette.
            assert (truth.boxes[:, :2] >= truth.amodal[:, :2] - 1e-3).all()
            assert (truth.boxes[:, 2:] <= truth.amodal[:, 2:] + 1e-3).all()
            assert ((truth.visibility > 0) & (truth.visibility <= 1)).all()
            assert len(set(truth.track_ids.tolist())) == len(truth)
            assert (truth.track_ids > 0).all()


def test_track_ids_keep_their_class_in_time_and_across_cameras() -> None:
    classes: dict[int, str] = {}
    seen: dict[int, int] = {}
    for frame in clip():
        for truth in (frame.rgb_truth, frame.thermal_truth):
            for track, label in zip(truth.track_ids.tolist(), truth.labels, strict=True):
                # The thermal camera's truth has no bicycles of their own.
                known = classes.setdefault(track, label).replace("bicycle", "two-wheeler")
                assert known == label.replace("bicycle", "two-wheeler")
                assert label != "bicycle" or truth is frame.rgb_truth
                seen[track] = seen.get(track, 0) + 1
    assert set(classes.values()) == set(SCENE_LABELS)
    assert max(seen.values()) == 2 * len(clip())


def test_weapons_belong_to_a_person() -> None:
    found = 0
    for frame in clip():
        truth = frame.truth
        weapons = truth.class_ids == SCENE_LABELS.index("weapon")
        riders = (truth.class_ids == SCENE_LABELS.index("person")) & (truth.carrier_ids > 0)
        assert (truth.carrier_ids[~weapons & ~riders] == 0).all()
        for box, carrier in zip(truth.boxes[weapons], truth.carrier_ids[weapons], strict=True):
            rows = truth.track_ids == carrier
            if rows.any():
                found += 1
                holder = truth.amodal[rows][0]
                assert truth.labels[int(np.flatnonzero(rows)[0])] == "person"
                gap = np.maximum(box[:2] - holder[2:], holder[:2] - box[2:]).max()
                assert gap < 3
    assert found > 3


@pytest.mark.parametrize("kind", ["n_people", "n_motorcycles", "n_cars"])
def test_box_is_what_the_object_changes_in_the_image(kind: str) -> None:
    """Without noise and sun, the pictures with and without an object differ in its box."""
    bare = SceneConfig(
        seed=12, n_people=0, n_armed=0, n_motorcycles=0, n_cars=0, noise=0, motion=0, clutter=0
    )
    one = dataclasses.replace(bare, **{kind: 1}, duration_s=1, time_of_day="night")
    none = dataclasses.replace(one, **{kind: 0})
    frame, without = Scene(one).render(0), scene(none).render(0)
    assert len(frame.truth) == 1
    assert len(without.truth) == 0
    changed = np.abs(frame.thermal.astype(int) - without.thermal.astype(int))
    if kind == "n_cars":
        # Ground that a car has warmed is not the car.
        changed[changed < 150] = 0
    strong = changed > 0.05 * changed.max()
    columns, rows = np.flatnonzero(strong.any(axis=0)), np.flatnonzero(strong.any(axis=1))
    drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    # The lens spreads an edge by a pixel or so; thin ends are faint.
    np.testing.assert_allclose(frame.truth.boxes[0], drawn, atol=2.0)
    x0, y0, x1, y1 = np.rint(frame.truth.boxes[0]).astype(int)
    assert strong[y0:y1, x0:x1].mean() > 0.3


def test_both_cameras_see_people_in_one_place() -> None:
    checked = 0
    for frame in clip():
        for track, label, box, share in zip(
            frame.thermal_truth.track_ids,
            frame.thermal_truth.labels,
            frame.thermal_truth.boxes,
            frame.thermal_truth.visibility,
            strict=True,
        ):
            rows = np.flatnonzero(frame.rgb_truth.track_ids == track)
            if label != "person" or share < 0.95 or not len(rows):
                continue
            if frame.rgb_truth.visibility[rows[0]] < 0.95:
                continue
            feet = [
                camera.to_ground(np.array([[(b[0] + b[2]) / 2, b[3]]], float))[0]
                for camera, b in (
                    (frame.thermal_camera, box),
                    (frame.rgb_camera, frame.rgb_truth.boxes[rows[0]]),
                )
            ]
            assert np.linalg.norm(feet[0] - feet[1]) < 0.6
            checked += 1
    assert checked > 5


def test_people_are_warm_on_cool_ground_at_night() -> None:
    frame = scene(NIGHT).render(0)
    counts = frame.thermal.astype(float)
    contrast = []
    for box, label in zip(frame.truth.boxes, frame.truth.labels, strict=True):
        x0, y0, x1, y1 = np.rint(box).astype(int)
        if label != "person" or x0 < 8 or y0 < 8:
            continue
        ring = counts[y0 - 6 : y1 + 6, x0 - 6 : x1 + 6]
        contrast.append(np.percentile(counts[y0:y1, x0:x1], 80) - np.median(ring))
    assert len(contrast) > 6
    # 2 kelvin; counts are hundredths of one.
    assert np.median(contrast) > 200


def test_lower_flight_draws_people_larger() -> None:
    heights = []
    for altitude in (30.0, 60.0):
        config = dataclasses.replace(
            SMALL, altitude_m=altitude, n_people=20, n_cars=0, pitch_deg=60, clutter=0
        )
        truth = Scene(config).render(0).truth
        whole = (truth.visibility > 0.9) & (truth.class_ids == 0)
        assert whole.sum() > 5
        heights.append(np.median(truth.boxes[whole, 3] - truth.boxes[whole, 1]))
    assert heights[0] / heights[1] == pytest.approx(2.0, rel=0.3)


def test_empty_scene_has_no_truth() -> None:
    config = dataclasses.replace(
        SMALL, n_people=0, n_armed=0, n_motorcycles=0, n_bicycles=0, n_cars=0
    )
    frame = Scene(config).render(0, "both")
    assert len(frame.thermal_truth) == 0
    assert frame.thermal_truth.boxes.shape == (0, 4)
    assert len(frame.rgb_truth) == 0


def test_frames_and_cameras_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="no frame 20: it has 20"):
        scene(SMALL).render(20)
    with pytest.raises(ConfigError, match="no frame -1"):
        scene(SMALL).render(-1)
    with pytest.raises(ConfigError, match="thermal, rgb, both"):
        scene(SMALL).render(0, "sonar")  # type: ignore[arg-type]


def test_low_view_shows_a_cold_sky() -> None:
    config = dataclasses.replace(SMALL, pitch_deg=15, duration_s=0.2)
    frame = Scene(config).render(0, "both")
    assert frame.thermal[0].mean() < frame.thermal[-1].mean() - 800
    assert len(frame.truth) > 0


def test_source_yields_frames_of_its_encoding() -> None:
    config = dataclasses.replace(SMALL, duration_s=0.4)
    for camera, encoding, shape in (
        ("thermal", "mono16", (256, 320)),
        ("thermal", "mono8", (256, 320)),
        ("rgb", "bgr8", (240, 320, 3)),
    ):
        source = SceneSource(config, camera, encoding)
        assert isinstance(source, Source)
        assert (source.length, source.rate_hz, source.live) == (2, 5.0, False)
        frames = list(source)
        assert [frame.index for frame in frames] == [0, 1]
        assert frames[0].encoding == encoding
        assert frames[0].image.shape == shape
        assert frames[0].image.dtype == (np.uint16 if encoding == "mono16" else np.uint8)
        assert frames[1].stamp_ns - frames[0].stamp_ns == 200_000_000
        source.close()
        source.close()
    with pytest.raises(ConfigError, match="thermal camera gives mono16, mono8"):
        SceneSource(config, "thermal", "bgr8")
    assert SceneSource.from_uri("scene:empty?frames=3").length == 3


def test_written_scene_reads_back(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    paths = write_scene(
        SMALL, tmp_path, ("thermal", "rgb"), 2, progress=lambda *step: done.append(step)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert paths == [tmp_path / "thermal/truth.json", tmp_path / "rgb/truth.json"]
    frame = scene(SMALL).render(1)
    image = cv2.imread(str(tmp_path / "thermal/img1/000002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, frame.thermal)
    truth = load_truth(paths[0], SCENE_LABELS)
    assert not truth.problems
    mine = truth.boxes[truth.image_rows == 1]
    np.testing.assert_allclose(np.sort(mine, axis=0), np.sort(frame.truth.boxes, axis=0), atol=1e-3)
    record = json.loads(paths[0].read_text())["images"][1]
    assert record["altitude"] == pytest.approx(frame.altitude_m, abs=1e-4)
    assert record["time_of_day"] == "night"
    rows = read_detections(tmp_path / "thermal/gt/gt.txt")
    assert (rows.frames == 2).sum() == len(frame.truth)
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(ConfigError, match="1 to 20"):
        write_scene(SMALL, tmp_path, frames=21)


def test_static_shadows_darken_and_cool_the_ground() -> None:
    rng = np.random.default_rng(3)
    climate = Climate(24.0, (0.0, 1.0, 0.0), np.array([0.0, 0.6, 0.8]), 1.0, 1.0)
    layout = make_layout(rng, 30.0, 0.0)
    square = np.array([[-4.0, -4.0], [4, -4], [4, 4], [-4, 4]])
    lit, shaded = (Ground(np.random.default_rng(9), layout, climate) for _ in range(2))
    shaded.add_shadow(square)
    # Shadows that fall off the map, as those of tall trees at dusk do, change nothing.
    shaded.add_shadow(square + 500.0)
    shaded.add_shadow(square + 500.0, dappled=True)
    middle, corner = slice(1000, 1048), slice(100, 148)
    for before, after, least in (
        (lit.thermal[0], shaded.thermal[0], 0.3),
        (lit.colour[0].astype(float), shaded.colour[0].astype(float), 10),
    ):
        assert (before[middle, middle] - after[middle, middle]).mean() > least
        np.testing.assert_array_equal(before[corner, corner], after[corner, corner])
