"""Building int8.dlc and contexts: what is written, checked and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.quantised_bundle import FOREIGN_OP, write_manifest, write_onnx_with_foreign_op
from windhover.errors import BackendError, ConfigError
from windhover.inference.build import add_to_bundle, build_context, build_dlc, build_htp_files
from windhover.inference.qnn_api.binary import read_binary
from windhover.inference.qnn_api.context import Context
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.library import load_libraries
from windhover.inference.soc import SOCS
from windhover.model.bundle import Bundle
from windhover.model.manifest import Role


@pytest.fixture
def model(htp_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copy(htp_bundle.root / "int8.onnx", tmp_path / "int8.onnx"))


def test_a_release_folder(model: Path) -> None:
    assert build_htp_files(model.parent) == [
        model.with_name("int8.dlc"),
        model.with_name("qcs8550.bin"),
    ]
    bundle = write_manifest(model.parent)
    assert {Role.INT8_DLC, Role.QCS8550_BIN} <= set(bundle.files)
    # Nothing is left of the building, and anyone may read what was built.
    assert len(list(model.parent.iterdir())) == 4
    assert model.with_name("int8.dlc").stat().st_mode & 0o044


def test_a_bundle_is_completed(htp_bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    shutil.copy(htp_bundle.root / "int8.onnx", root)
    before = write_manifest(root)
    after = add_to_bundle(root)
    assert set(after.files) == {*before.files, Role.INT8_DLC, Role.QCS8550_BIN}
    assert after.files[Role.INT8_ONNX] == before.files[Role.INT8_ONNX]
    assert after.head == before.head
    assert after.provenance["tools"] == {"qnn": load_libraries().build}
    assert after.provenance["made_by"] == before.provenance["made_by"]


def test_the_dlc_keeps_names_shapes_and_scales(htp_bundle: Bundle) -> None:
    device = HtpDevice(load_libraries(), SOCS["qcs8550"])
    graph = Context.describe(device, htp_bundle.root / "int8.dlc")
    device.close()
    found = {t.name: (t.shape, t.dtype) for t in (*graph.inputs, *graph.outputs)}
    assert found == {
        "images": ((1, 32, 64, 1), "uint8"),
        "box_s8": ((1, 4, 8, 4), "uint8"),
        "score_s8": ((1, 4, 8, 2), "uint8"),
    }
    assert [t.scale for t in graph.outputs] == pytest.approx([0.05, 0.05])
    assert [t.zero_point for t in graph.outputs] == [128, 128]


@pytest.mark.parametrize("name", SOCS)
def test_a_context_is_for_the_chip_that_was_asked_for(model: Path, name: str) -> None:
    libraries = load_libraries()
    path = build_context(model, model.with_name(f"{name}.bin"), name)
    spec = read_binary(libraries, path.read_bytes(), path.name)
    assert spec.soc_model == SOCS[name].model
    assert spec.build == libraries.build
    other = next(soc for soc in SOCS.values() if soc.name != name)
    device = HtpDevice(libraries, other)
    expected = f"{name}.bin is compiled for {name.upper()} and this is {other.name.upper()}"
    with pytest.raises(BackendError, match=expected):
        Context.load(device, path.read_bytes(), path.name)
    device.close()


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_context_that_is_cut_short(qcs8550_bin: Path, length: int) -> None:
    device = HtpDevice(load_libraries(), SOCS["qcs8550"])
    with pytest.raises(BackendError, match=r"cut\.bin can't be read as a QNN context \(system"):
        Context.load(device, qcs8550_bin.read_bytes()[:length], "cut.bin")
    Context.load(device, qcs8550_bin.read_bytes(), "complete.bin").close()
    device.close()


def test_an_op_that_no_htp_has_is_named(htp_bundle: Bundle, tmp_path: Path) -> None:
    write_onnx_with_foreign_op(tmp_path / "int8.onnx")
    with pytest.raises(BackendError, match=rf"not on the HTP: {FOREIGN_OP} \(Shrink\)"):
        build_dlc(tmp_path / "int8.onnx", tmp_path / "int8.dlc")
    with pytest.raises(BackendError, match=FOREIGN_OP):
        build_context(tmp_path / "int8.onnx", tmp_path / "qcs8550.bin")
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]


def test_a_bad_graph_and_an_unknown_chip_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no SoC 'exynos'"):
        build_dlc(model, tmp_path / "int8.dlc", "exynos")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(BackendError, match=r"text\.onnx can't be opened"):
        build_dlc(tmp_path / "text.onnx", tmp_path / "int8.dlc")
    with pytest.raises(BackendError, match=r"nothing\.onnx can't be opened"):
        build_context(tmp_path / "nothing.onnx", tmp_path / "qcs8550.bin")
