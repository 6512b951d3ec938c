"""A graph that is not the declared one is refused, and the message says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from windhover.errors import BundleError
from windhover.model.bundle import Bundle
from windhover.model.graph import TensorSpec, check_graph
from windhover_sim.blob_bundle import build_blob_bundle

IMAGES = TensorSpec("images", (1, 64, 96, 1), "uint8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_blob_bundle(tmp_path_factory.mktemp("graph") / "blob", height=64, width=96)


@pytest.fixture
def outputs(bundle: Bundle) -> list[TensorSpec]:
    return [TensorSpec(o.name, bundle.output_shape(o), "float32") for o in bundle.head.outputs]


def refusal(bundle: Bundle, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> str:
    with pytest.raises(BundleError) as caught:
        check_graph(bundle, inputs, outputs, "float.onnx")
    return str(caught.value)


def test_the_declared_graph_passes_in_any_order(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    check_graph(bundle, [IMAGES], outputs[::-1])
    check_graph(bundle, [IMAGES], [*outputs, TensorSpec("extra", (1,), "float32")])


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (TensorSpec("pixels", (1, 64, 96, 1), "uint8"), "pixels uint8 1x64x96x1"),
        (TensorSpec("images", (1, 1, 64, 96), "uint8"), "images uint8 1x1x64x96"),
        (TensorSpec("images", (None, 64, 96, 1), "uint8"), "images uint8 ?x64x96x1"),
        (TensorSpec("images", (1, 64, 96, 1), "float32"), "images float32"),
    ],
)
def test_other_input(
    bundle: Bundle, outputs: list[TensorSpec], tensor: TensorSpec, expected: str
) -> None:
    message = refusal(bundle, [tensor], outputs)
    assert expected in message
    assert "images uint8 1x64x96x1 is declared" in message
    assert str(bundle.root / "float.onnx") in message


def test_two_inputs(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    assert "2 inputs" in refusal(bundle, [IMAGES, IMAGES], outputs)


def test_missing_output(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    message = refusal(bundle, [IMAGES], outputs[1:])
    assert "box_s8 is declared but the graph gives score_s8" in message


def test_other_number_of_classes(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    outputs[1] = TensorSpec("score_s8", (1, 8, 12, 80), "float32")
    message = refusal(bundle, [IMAGES], outputs)
    assert "score_s8 float32 1x8x12x80 where score_s8 float32 1x8x12x2 is declared" in message


def test_integers_without_a_scale(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    outputs[0] = TensorSpec("box_s8", (1, 8, 12, 64), "uint8")
    assert "no scale and zero_point" in refusal(bundle, [IMAGES], outputs)


def test_undecodable_type(bundle: Bundle, outputs: list[TensorSpec]) -> None:
    outputs[0] = TensorSpec("box_s8", (1, 8, 12, 64), "float16")
    assert "float16; only float32 and uint8" in refusal(bundle, [IMAGES], outputs)


def test_folder_is_named_without_a_file(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=str(bundle.root)):
        check_graph(bundle, [], [])
