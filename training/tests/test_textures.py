"""Pictures of ground, walls and cloth that are cut out of converted sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import ConfigError, DataError
from windhover_sim.textures import TEXTURED, draw_textures
from windhover_training.data.render.textures import Patch, cut_textures, read_patches


def a_set(root: Path) -> np.ndarray:
    picture = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    folder = root / "meadow" / "images" / "train" / "rgb"
    folder.mkdir(parents=True)
    assert cv2.imwrite(str(folder / "a.png"), picture)
    return picture


def patch(**changes: object) -> Patch:
    given = {"set": "meadow", "image": "a.png", "box": [10, 20, 64, 48]}
    return Patch.model_validate({**given, "material": "grass", "pixels_per_metre": 40} | changes)


def test_a_patch_is_cut_and_the_renderer_reads_it(tmp_path: Path) -> None:
    picture, out = a_set(tmp_path), tmp_path / "out"
    out.mkdir()
    assert cut_textures([patch(), patch(material="dirt", box=[0, 0, 40, 40])], tmp_path, out) == 2
    cut = cv2.imread(str(out / "00-grass.png"))
    np.testing.assert_array_equal(cut, picture[20:68, 10:74])
    assert set(draw_textures(out, np.random.default_rng(0), 32.0)) == {"grass", "dirt"}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"image": "b.png"}, "no picture b.png"), ({"box": [140, 0, 64, 48]}, "160x120 lacks")],
)
def test_what_is_not_there_is_told(tmp_path: Path, change: dict[str, object], message: str) -> None:
    a_set(tmp_path)
    with pytest.raises(DataError, match=message):
        cut_textures([patch(**change)], tmp_path, tmp_path)


def test_the_list_that_is_kept_here_is_one_and_names_every_material() -> None:
    patches = read_patches(Path(__file__).parents[1] / "configs" / "textures.yaml")
    assert {each.material for each in patches} == set(TEXTURED)


def test_a_bad_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- {set: meadow}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        read_patches(tmp_path / "a.yaml")
