"""Ranges and quantisation: what eight bits are spent on, for one channel and for four."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.errors import ConfigError, DataError, SourceError
from windhover.inference.ort_qnn import open_session
from windhover.inference.soc import DEFAULT_SOC, find_soc
from windhover_evaluation.speed.estimate import count
from windhover_training.config import QuantisationConfig
from windhover_training.data.readers.pictures import read_files
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.model import build_model
from windhover_training.export.graph import export_core, finish_float, output_names, unfinished
from windhover_training.export.quantise import handed_on, look, output_quantisation, quantise
from windhover_training.export.ranges import (
    Histogram,
    choose_range,
    next_functions,
    observe,
    resized,
    sigmoid,
    silu,
)

pytestmark = pytest.mark.train_env

HW = (64, 96)
TINY = Path(__file__).parent / "tiny11.yaml"
SETTINGS = QuantisationConfig(data=[], images=2)


@pytest.fixture(scope="module", params=["thermal", "cbam"])
def core(request: pytest.FixtureRequest) -> onnx.ModelProto:
    torch.manual_seed(0)
    if request.param == "thermal":
        return export_core(build_model(str(TINY), 1, 2).eval(), *HW, 1)
    return export_core(RgbtModel(str(TINY), 2, "cbam").eval(), *HW, 4)


def pictures(core: onnx.ModelProto, count: int = 2) -> list[np.ndarray]:
    channels = core.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, 1, *HW, channels), np.uint8))


def unranged(model: onnx.ModelProto, core: onnx.ModelProto) -> list[str]:
    """Quantised tensors whose scale came from nowhere: ONNX Runtime saw black images only."""
    known = observe(core, [pictures(core, 1)[0].transpose(0, 3, 1, 2) / np.float32(255)],
                    lambda _: np.zeros((8, 12), bool))  # fmt: skip
    names = {f"{name}_scale" for name in (*known, "pixels")}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return [node.name for node in quantisers if node.input[1] not in names]


def run(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": image}), strict=True))


def test_scores_reach_both_ways_and_int8_is_near_float(core: onnx.ModelProto) -> None:
    image, *_ = pictures(core)
    model = quantise(core, pictures(core), SETTINGS)
    assert not unranged(model, core)
    scales = output_quantisation(model)
    assert list(scales) == ["box_s8", "score_s8", "box_s16", "score_s16", "box_s32", "score_s32"]
    for name, (scale, zero_point) in scales.items():
        if name.startswith("score"):
            assert zero_point == 128
            assert scale == pytest.approx(8 / 128, rel=1e-3)
    exact, found = run(finish_float(core), image), run(model, image)
    for name, (scale, zero_point) in scales.items():
        real = (found[name].astype(np.float32) - zero_point) * scale
        wanted = np.clip(exact[name], -zero_point * scale, (255 - zero_point) * scale)
        assert np.abs(real - wanted).mean() < 0.05 * max(np.abs(exact[name]).mean(), 1), name


def test_each_layer_has_its_own_weight(core: onnx.ModelProto, tmp_path: Path) -> None:
    """x86 without VNNI saturates 8-bit sums, which ONNX Runtime avoids only without sharing."""
    model = quantise(core, pictures(core), SETTINGS)
    bytes_of_8_bits = {each.name for each in model.graph.initializer if each.data_type == 3}
    makers = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in bytes_of_8_bits
    }
    used = [makers[name] for node in model.graph.node for name in node.input if name in makers]
    assert used
    assert len(used) == len(set(used))
    onnx.save(model, tmp_path / "int8.onnx")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    ort.InferenceSession(tmp_path / "int8.onnx", options)


def test_float_onnx_goes_back_to_the_core(core: onnx.ModelProto) -> None:
    image, *_ = pictures(core)
    again = unfinished(finish_float(core))
    assert output_names(again.graph) == output_names(core.graph)
    expected, found = run(finish_float(core), image), run(finish_float(again), image)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    with pytest.raises(ConfigError, match="not written by this exporter"):
        unfinished(core)


def test_the_htp_reads_a_float_graphs_pixels_as_they_are(
    core: onnx.ModelProto, tmp_path: Path
) -> None:
    path = tmp_path / "float.onnx"
    onnx.save(finish_float(core), path)
    image, *_ = pictures(core)
    exact = run(finish_float(core), image)
    session = open_session(path, find_soc(DEFAULT_SOC), {"enable_htp_fp16_precision": "1"})
    found = session.run(list(exact), {"images": image})
    for (name, wanted), value in zip(exact.items(), found, strict=True):
        # Sixteen bits: a hundredth is far more than they lose, and far less than a wrong picture.
        assert np.abs(value - wanted).max() < 0.01 * np.abs(wanted).max(), name


def test_named_layers_get_sixteen_bits(core: onnx.ModelProto, tmp_path: Path) -> None:
    model = quantise(core, pictures(core), SETTINGS.model_copy(update={"a16": ["/cv3.0"]}))
    sixteen = {i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.UINT16}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    wide = {node.input[0] for node in quantisers if node.input[2] in sixteen}
    assert any(name.startswith("/cv3.0") for name in wide)
    for name, graph in (("wide", model), ("plain", quantise(core, pictures(core), SETTINGS))):
        onnx.save(graph, tmp_path / f"{name}.onnx")
    # What is estimated of it knows ONNX Runtime's own 16-bit operators.
    assert count(tmp_path / "wide.onnx").macs == count(tmp_path / "plain.onnx").macs > 0
    assert not any(name.startswith("/model.1/") for name in wide)
    assert output_quantisation(model)["score_s8"][1] == 128
    with pytest.raises(ConfigError, match="'/nothing', which begins no layer"):
        quantise(core, pictures(core), SETTINGS.model_copy(update={"a16": ["/nothing"]}))


def test_all_layers_in_sixteen_bits_are_nearer_to_float(core: onnx.ModelProto) -> None:
    image, *_ = pictures(core)
    exact = run(finish_float(core), image)

    def error(a16: list[str]) -> float:
        model = quantise(core, pictures(core), SETTINGS.model_copy(update={"a16": a16}))
        found = run(model, image)
        scales = {k: v for k, v in output_quantisation(model).items() if k.startswith("box")}
        return sum(
            float(np.abs((found[name].astype(np.float32) - zero) * scale - exact[name]).mean())
            for name, (scale, zero) in scales.items()
        )

    assert error(["/"]) < error([])


def test_a_range_is_handed_on_through_pools() -> None:
    nodes = [
        onnx.helper.make_node("Relu", ["a"], ["b"]),
        onnx.helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[3, 3]),
        onnx.helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3]),
        onnx.helper.make_node("Relu", ["d"], ["e"]),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "pools", [], []))
    known = {"a": (-1.0, 1.0), "b": (0.0, 2.0), "e": (0.0, 3.0)}
    assert handed_on(model, known) == {"c": (0.0, 2.0), "d": (0.0, 2.0)}


def test_no_images_are_an_error(core: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="no calibration images"):
        look(core, [])


def test_every_sigmoid_is_known_and_passing_ops_have_no_range(core: onnx.ModelProto) -> None:
    sigmoids = {n.input[0] for n in core.graph.node if n.op_type == "Sigmoid"}
    behind = next_functions(core)
    assert behind.keys() == sigmoids
    gates = {name for name, function in behind.items() if function is sigmoid}
    assert {name.split("/")[1].split(".")[0] for name in gates} <= {"gate", "merges"}
    black = pictures(core, 1)[0].transpose(0, 3, 1, 2) * np.float32(0)
    found = observe(core, [black], lambda _: np.zeros((8, 12), bool))
    passing = {n.output[0] for n in core.graph.node if n.op_type in ("Split", "Slice")}
    assert passing
    assert not passing & found.keys()


values = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40)


@given(values)
@settings(deadline=None)
def test_a_histogram_holds_every_value(numbers: list[float]) -> None:
    histogram = Histogram()
    for number in numbers:
        histogram.add(np.array([number], np.float32))
    assert histogram.counts.sum() == len(numbers)
    assert (histogram.low, histogram.high) == (min(numbers), max(numbers))
    low, high = choose_range(histogram, "minmax")
    assert (low, high) == (min(*numbers, 0), max(*numbers, 0))


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_a_lone_outlier_is_left_out(method: str) -> None:
    histogram = Histogram()
    histogram.add(np.random.default_rng(0).normal(0, 1, 200_000).astype(np.float32))
    histogram.add(np.array([60.0], np.float32))
    low, high = choose_range(histogram, method, 99.99)
    assert -6 < low < -2.5
    assert 2.5 < high < 50


def test_values_far_below_zero_do_not_count_before_a_silu() -> None:
    histogram = Histogram()
    histogram.add(np.random.default_rng(0).uniform(-60, 10, 50_000).astype(np.float32))
    plain, squashed = choose_range(histogram, "mse"), choose_range(histogram, "mse", behind=silu)
    assert squashed[0] > 0.5 * plain[0]
    assert squashed[1] == pytest.approx(10, abs=0.5)


def test_places_are_found_at_other_resolutions() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    assert np.argwhere(resized(mask, (2, 3))).tolist() == [[0, 1]]
    assert np.argwhere(resized(mask, (8, 12))).tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_pictures_become_what_a_model_takes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    four, grey = rng.integers(0, 256, (6, 8, 4), np.uint8), rng.integers(0, 256, (6, 8), np.uint8)
    for name, pixels in (("four", four), ("grey", grey), ("colour", four[..., :3])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)

    def read(channels: int, *names: str) -> np.ndarray:
        return read_files(tuple(tmp_path / f"{name}.png" for name in names), channels)

    np.testing.assert_array_equal(read(4, "four"), four)
    np.testing.assert_array_equal(read(4, "colour", "grey"), np.dstack([four[..., :3], grey]))
    np.testing.assert_array_equal(read(1, "four"), four[..., 3])
    np.testing.assert_array_equal(read(3, "four"), four[..., :3])
    # Where a model looks at one camera, the other's picture stands for it.
    np.testing.assert_array_equal(read(3, "grey"), np.dstack([grey] * 3))
    pale = np.repeat(grey[..., None], 3, axis=2)
    pale[..., 0] //= 2
    cv2.imwrite(str(tmp_path / "pale.png"), np.minimum(pale, 90))
    assert read(1, "pale").shape == (6, 8)
    with pytest.raises(SourceError, match="colour palette"):
        read(1, "colour")  # as strong as a thermal camera's palette, without its counts
    with pytest.raises(DataError, match="no thermal channel"):
        read(4, "colour")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(SourceError, match=r"text\.png"):
        read(4, "text")
