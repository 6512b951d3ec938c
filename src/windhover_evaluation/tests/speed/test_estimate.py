"""Counts of graphs whose cost is known by hand, and what they are turned into."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.quantised_bundle import build_quantised_bundle
from windhover.errors import BackendError
from windhover_evaluation.speed.estimate import GraphCost, count, estimate, estimate_bundle


def save(path: Path, height: int | str = 8) -> Path:
    """Two convolutions, the first grouped, and a sum of input and output of the second."""

    def values(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Identity", ["a"], ["same"]),
        helper.make_node("Conv", ["same", "w2", "b2"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, height, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, height, 16])],
        [values("w1", 6, 2, 3, 3), values("w2", 6, 6, 1, 1), values("b2", 6)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_counts_by_hand(tmp_path: Path) -> None:
    found = count(save(tmp_path / "g.onnx"))
    pixels = 8 * 16
    assert found.macs == pixels * 6 * (2 * 9) + pixels * 6 * 6
    assert found.weight_bytes == 6 * 2 * 9 + 36 + 6
    assert found.io_bytes == pixels * (4 + 6)
    assert found.activation_bytes == pixels * ((4 + 6) + (6 + 6) + (6 + 6 + 6))
    # At the sum: both terms and the result.
    assert found.peak_bytes == pixels * 18
    assert found.ops == {"Conv": 2, "Add": 1}


def test_quantisation_costs_nothing(tmp_path: Path) -> None:
    found = count(build_quantised_bundle(tmp_path / "tiny").root / "int8.onnx")
    cells = 4 * 8
    assert found.macs == cells * (16 * 64 + (4 + 2) * 16)
    assert found.weight_bytes == 16 * 64 + 16 + (4 + 2) * (16 + 1)
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(found.ops)


def test_time_from_cost() -> None:
    cost = GraphCost(3_250_000_000, 2_600_000, 10**8, 10**6, 9 * 2**20, {"Conv": 88})
    found = estimate(cost)
    assert found.compute_floor_ms == pytest.approx(2 * 3.25e9 / 48e12 * 1e3)
    assert found.memory_floor_ms == pytest.approx(3.6e6 / 67.2e9 * 1e3)
    assert found.floor_ms == found.compute_floor_ms
    # The published model itself.
    assert found.scaled_ms == pytest.approx({"w8a8": 1.6, "w8a16": 4.2, "float": 3.9})
    assert found.likely_ms == pytest.approx((0.904 * 3.25 / 4.09, 1.6))
    assert not found.fits_vtcm
    half = estimate(GraphCost(1_625_000_000, 2_600_000, 10**8, 10**6, 8 * 2**20, {}))
    assert half.scaled_ms["w8a8"] == pytest.approx(0.8)
    assert half.fits_vtcm


def test_it_is_marked_as_an_estimate(tmp_path: Path) -> None:
    found = estimate_bundle(build_quantised_bundle(tmp_path / "tiny"))
    written = found.as_dict()
    assert "nothing was measured" in written["estimate"]
    assert (found.file, written["soc"]) == ("int8.onnx", "QCS8550 (HTP v73)")
    assert [line[0] for line in found.lines()][:2] == ["arithmetic", "weights"]


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = build_quantised_bundle(tmp_path / "tiny")
    normal = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return normal(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendError, match="pip install onnx"):
        estimate_bundle(bundle)


def test_graphs_that_can_not_be_counted(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(BackendError, match=r"no\.onnx can't be read"):
        count(tmp_path / "no.onnx")
    with pytest.raises(BackendError, match="is not fixed"):
        count(save(tmp_path / "open.onnx", "rows"))
