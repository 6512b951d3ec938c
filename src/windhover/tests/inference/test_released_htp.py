"""The released int8.dlc and contexts, on the HTP emulator. Seconds an inference."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.imaging.agc import percentile_agc
from windhover.inference import open_backend
from windhover.inference.qnn_api.binary import read_binary
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.soc import SOCS
from windhover.model.bundle import Bundle
from windhover.model.manifest import Role
from windhover_sim import Scene, SceneConfig

MODELS = Path(__file__).parents[4] / "models"
FOLDERS = sorted(p.parent for p in MODELS.rglob("bundle.yaml"))


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def released(
    request: pytest.FixtureRequest, htp_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A released bundle; where it brings no .dlc, with one built from its int8.onnx."""
    from windhover.inference.build import add_to_bundle

    bundle = Bundle.load(request.param)
    if Role.INT8_ONNX not in bundle.files:
        pytest.skip(f"{bundle.name} has no int8.onnx")
    if {Role.INT8_DLC, Role.QCS8550_BIN} <= set(bundle.files):
        return bundle
    copy = tmp_path_factory.mktemp("released") / bundle.name
    return add_to_bundle(Path(shutil.copytree(bundle.root, copy)))


def picture(bundle: Bundle) -> np.ndarray:
    """A rendered scene with people and vehicles, so that scores vary; one person for chips."""
    config = SceneConfig(
        seed=7_001, n_people=24, n_armed=12, altitude_m=36, time_of_day="day", duration_s=1.0
    )
    shot = Scene(config).render(0, "both")
    assert shot.rgb is not None
    assert shot.thermal is not None
    views = {"rgb": shot.rgb, "thermal": percentile_agc(shot.thermal)[..., None]}
    size = (bundle.input.width, bundle.input.height)
    if bundle.input.width < 320:
        x, y = shot.rgb_truth.boxes[shot.rgb_truth.class_ids == 1][0, :2].astype(int)
        views["rgb"] = shot.rgb[y - 20 : y + 28, x - 20 : x + 28]
    resized = {name: cv2.resize(view, size) for name, view in views.items()}
    resized["rgbt"] = np.dstack([resized["rgb"], resized["thermal"]])
    return resized[bundle.modality].reshape(bundle.input.shape)


@pytest.mark.slow
def test_the_dlc_gives_bit_for_bit_what_int8_onnx_gives(released: Bundle) -> None:
    image = picture(released)
    dlc = open_backend(released, "dlc", fresh=True)
    found = [output.copy() for output in dlc.run(image)]
    assert "int8.dlc compiled here" in dlc.device
    dlc.close()
    qnn = open_backend(released, "qnn")
    expected = qnn.run(image)
    # A stride at which nothing is seen has one score everywhere: the least.
    varied = {"box": 0, "score": 0}
    for declared, mine, same in zip(released.head.outputs, found, expected, strict=True):
        assert mine.dtype == np.uint8
        varied[declared.kind] = max(varied[declared.kind], len(np.unique(mine)))
        np.testing.assert_array_equal(mine, same, err_msg=declared.name)
    assert min(varied.values()) > 4
    qnn.close()


def test_the_context_is_this_graph_for_the_qcs8550(released: Bundle) -> None:
    path = released.file(Role.QCS8550_BIN)
    assert path is not None
    spec = read_binary(load_libraries(), path.read_bytes(), path.name)
    assert spec.soc_model == SOCS["qcs8550"].model
    assert {t.name for t in spec.graph.outputs} == {o.name for o in released.head.outputs}
    assert [(t.name, t.shape, t.dtype) for t in spec.graph.inputs] == [
        (released.input.name, released.input.shape, "uint8")
    ]
