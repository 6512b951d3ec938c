"""Pictures on walls, roofs and clothes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from windhover_sim import Scene, SceneConfig
from windhover_sim.camera import Camera, Floats, Intrinsics, look_rotation
from windhover_sim.covers import lay_covers
from windhover_sim.outlines import outline_all
from windhover_sim.paint import Canvas
from windhover_sim.shapes import FACE_CORNERS, Covering, Shape, box_faces
from windhover_sim.textures import Cover, Covered, read_covers

DOWN = Camera(
    Intrinsics.from_hfov((640, 512), 60.0),
    np.array([0.0, 0.0, 20.0]),
    look_rotation(0.0, np.pi / 2, 0.0),
)


@pytest.fixture
def stripes(tmp_path: Path) -> Cover:
    """Half a metre dark, half a metre bright, along the first edge of a part."""
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = 60, 180
    return save(tmp_path, picture, "wall")


def save(folder: Path, picture: np.ndarray, material: Covered) -> Cover:
    assert cv2.imwrite(str(folder / "a.png"), picture)
    row = {"file": "a.png", "material": material, "pixels_per_metre": 40.0}
    (folder / "textures.yaml").write_text(yaml.safe_dump([row]), encoding="utf-8")
    (cover,) = read_covers(folder, material)
    return cover


def shape(faces: Floats, capsules: Floats, cover: Cover) -> Shape:
    count = len(capsules) + len(faces)
    return Shape(
        capsules=capsules,
        faces=faces,
        layer=np.zeros(count, np.int64),
        celsius=np.full(count, 20, np.float32),
        bgr=np.full((count, 3), 100, np.float32),
        entity=np.zeros(count, np.uint8),
        covering=Covering((cover,), np.ones(count, np.int64), (0.0, 0.0)),
    )


def painted(body: Shape, camera: Camera, *, thermal: bool = False) -> np.ndarray:
    (outline,) = outline_all(camera, [body])
    assert outline is not None
    image = np.zeros((512, 640) if thermal else (512, 640, 3), np.float32)
    Canvas(camera, image).draw_body(body, outline, body.celsius if thermal else body.bgr)
    return image


def roof(cover: Cover) -> Shape:
    faces = np.array(box_faces((-4, 4), (-3, 3), (0.0, 2.0))[:1])
    return shape(faces, np.empty((0, 8)), cover)


def test_a_picture_lies_where_its_metres_are(stripes: Cover) -> None:
    # Its first edge is from x = -4 to 4; mirrored, it repeats every two metres.
    image = painted(roof(stripes), DOWN)
    along = np.linspace(-3.9, 3.9, 400)
    pixels, _ = DOWN.project(np.column_stack([along, np.zeros(400), np.full(400, 2.0)]))
    seen = image[pixels[:, 1].astype(int), pixels[:, 0].astype(int), 0]
    phase = (along + 4) % 2
    dark = ((phase > 0.08) & (phase < 0.42)) | ((phase > 1.58) & (phase < 1.92))
    bright = (phase > 0.58) & (phase < 1.42)
    assert seen[dark].max() < 80
    assert seen[bright].min() > 110


def test_the_mean_of_colour_and_warmth_stays(stripes: Cover) -> None:
    body = roof(stripes)
    for thermal, mean in ((False, 100.0), (True, 20.0)):
        image = painted(body, DOWN, thermal=thermal)
        inside = image[image > 5]
        assert float(np.median(inside)) != pytest.approx(mean, abs=0.1)
        assert float(inside.mean()) == pytest.approx(mean, rel=0.04)


def test_a_capsule_shows_its_picture_along_itself(stripes: Cover) -> None:
    lying = np.array([[-3.0, 0, 1, 0.4, 3.0, 0, 1, 0.4]])
    image = painted(shape(np.empty((0, FACE_CORNERS, 3)), lying, stripes), DOWN)
    along = np.linspace(-2.9, 2.9, 300)
    pixels, _ = DOWN.project(np.column_stack([along, np.zeros(300), np.ones(300)]))
    seen = image[pixels[:, 1].astype(int), pixels[:, 0].astype(int), 0]
    turns = np.abs(np.diff((seen > 100).astype(int))).sum()
    assert 4 <= turns <= 7  # an edge a metre, over six
    assert seen.min() < 80
    assert seen.max() > 120


def test_what_is_small_takes_a_coarse_level(stripes: Cover) -> None:
    high = dataclasses.replace(DOWN, position=np.array([0.0, 0.0, 800.0]))
    image = painted(roof(stripes), high)
    inside = image[image[..., 0] > 90]
    assert len(inside) > 2
    assert float(inside.std()) < 25  # stripes of half a metre at 1.4 m a pixel are grey


def test_a_part_without_a_picture_stays_as_it_is(stripes: Cover) -> None:
    body = roof(stripes)
    assert body.covering is not None
    none = dataclasses.replace(body.covering, parts=np.zeros(1, np.int64))
    (outline,) = outline_all(DOWN, [body])
    assert outline is not None
    values = np.full((8, 8, 3), 100, np.float32)
    ids = np.ones((8, 8), np.uint16)
    lay_covers(values, ids, DOWN, dataclasses.replace(body, covering=none), outline)
    np.testing.assert_array_equal(values, 100)


def test_cloth_changes_people_alone_and_no_truth(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    save(tmp_path, cv2.GaussianBlur(picture, (0, 0), 3), "cloth")
    config = SceneConfig(seed=8, altitude_m=12.0, n_people=5, n_armed=1, time_of_day="day")
    plain = Scene(config).render(0, "both")
    dressed = Scene(dataclasses.replace(config, textures=str(tmp_path))).render(0, "both")
    for name in ("rgb_truth", "thermal_truth"):
        np.testing.assert_array_equal(getattr(plain, name).boxes, getattr(dressed, name).boxes)
    assert plain.rgb is not None
    assert dressed.rgb is not None
    whole = np.abs(plain.rgb.astype(int) - dressed.rgb).max(axis=2)
    boxes = plain.rgb_truth.boxes[plain.rgb_truth.class_ids == 0].astype(int)
    assert len(boxes) > 2
    changed = [(whole[y0:y1, x0:x1] > 3).mean() for x0, y0, x1, y1 in boxes]
    assert min(changed) > 0.05
    assert (whole > 3).mean() < 0.02
