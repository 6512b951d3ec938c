"""Decoding gives Ultralytics' boxes, scores and classes, cell by cell, from the same tensors.

The golden files hold raw heads of seeded yolo11n and yolo26n networks, one of them with a
stride-4 level, and what Ultralytics 8.4.190 decodes and keeps
(training/tools/make_decode_golden.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windhover.errors import BackendError
from windhover.model.decode import Decoder
from windhover.model.manifest import REG_MAX, Manifest
from windhover.model.nms import nms

GOLDEN = Path(__file__).parent / "golden"
#: Golden files -> family, input size, strides.
GOLDEN_FILES = {
    "yolo11": ("yolo11", (128, 160), (8, 16, 32)),
    "yolo26": ("yolo26", (128, 160), (8, 16, 32)),
    "yolo11-p2": ("yolo11", (64, 96), (4, 8, 16, 32)),
}
STRIDES = (8, 16, 32)


def manifest(
    family: str = "yolo11",
    hw: tuple[int, int] = (128, 160),
    classes: int = 3,
    strides: Sequence[int] = STRIDES,
    quantisation: dict[str, tuple[float, int]] | None = None,
) -> Manifest:
    outputs: list[dict[str, Any]] = []
    for kind in ("score", "box"):
        for stride in strides:
            output: dict[str, Any] = {"name": f"{kind}_s{stride}", "stride": stride, "kind": kind}
            if quantisation:
                scale, zero_point = quantisation[output["name"]]
                output |= {"scale": scale, "zero_point": zero_point}
            outputs.append(output)
    return Manifest.model_validate(
        {
            "format": 1,
            "name": "golden",
            "version": "1",
            "labels": [f"class{i}" for i in range(classes)],
            "channels": "rgb",
            "input": {"name": "images", "height": hw[0], "width": hw[1], "channels": 3},
            "head": {
                "family": family,
                "reg_max": REG_MAX[family],
                "strides": list(strides),
                "outputs": outputs,
            },
            "files": {"float_onnx": {"path": "x", "sha256": "0" * 64, "bytes": 1}},
        }
    )


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def of_golden(name: str, quantisation: dict[str, tuple[float, int]] | None = None) -> Manifest:
    family, hw, strides = GOLDEN_FILES[name]
    return manifest(family, hw, strides=strides, quantisation=quantisation)


def raw(arrays: dict[str, np.ndarray], declared: Manifest) -> list[np.ndarray]:
    return [arrays[o.name] for o in declared.head.outputs]


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_every_box_score_and_class_is_ultralytics(name: str) -> None:
    arrays, declared = golden(name), of_golden(name)
    scores = arrays["decoded_scores"]
    best = scores.max(axis=1)
    cells = np.flatnonzero(best > 0.25)
    cells = cells[np.argsort(-best[cells], kind="stable")]
    assert 300 < len(cells) < len(scores)

    found = Decoder(declared, 0.25).decode(raw(arrays, declared))
    assert len(found) == len(cells)
    np.testing.assert_allclose(found.scores, best[cells], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.class_ids, scores[cells].argmax(axis=1))
    np.testing.assert_allclose(found.boxes, arrays["decoded_boxes"][cells], rtol=0, atol=1e-3)
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )
    # The fixtures are worth something only if the boxes and classes differ.
    assert np.ptp(found.boxes, axis=0).min() > 50
    assert np.bincount(found.class_ids).min() > 50


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_what_nms_keeps_is_ultralytics(name: str) -> None:
    arrays, declared = golden(name), of_golden(name)
    found = Decoder(declared, 0.25).decode(raw(arrays, declared))
    kept = found[nms(found.boxes, found.scores, found.class_ids, 0.6, 300)]
    expected = arrays["kept"]
    assert 100 < len(expected) <= 300
    np.testing.assert_allclose(kept.boxes, expected[:, :4], rtol=0, atol=1e-3)
    np.testing.assert_allclose(kept.scores, expected[:, 4], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(kept.class_ids, expected[:, 5])


def quantise(array: np.ndarray) -> tuple[np.ndarray, float, int]:
    """To uint8 over the array's own range, as a quantiser does."""
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    zero_point = round(-low / scale)
    return np.clip(np.round(array / scale) + zero_point, 0, 255).astype(np.uint8), scale, zero_point


@pytest.mark.parametrize("name", GOLDEN_FILES)
@pytest.mark.parametrize("threshold", [0.02, 0.25, [0.1, 0.5, 0.9]])
def test_integer_outputs_equal_their_real_values(name: str, threshold: float | list[float]) -> None:
    arrays = golden(name)
    names = [o.name for o in of_golden(name).head.outputs]
    quantised = {name: quantise(arrays[name]) for name in names}
    declared = of_golden(name, {n: q[1:] for n, q in quantised.items()})
    real = [
        ((quantised[n][0].astype(np.float32) - quantised[n][2]) * np.float32(quantised[n][1]))
        for n in names
    ]
    decoder = Decoder(declared, threshold)
    from_integers = decoder.decode([quantised[n][0] for n in names])
    from_reals = decoder.decode(real)
    assert len(from_integers) > 100
    np.testing.assert_array_equal(from_integers.boxes, from_reals.boxes)
    np.testing.assert_array_equal(from_integers.scores, from_reals.scores)
    np.testing.assert_array_equal(from_integers.class_ids, from_reals.class_ids)


def one_cell(
    sides: Sequence[float], logits: Sequence[float], cell: tuple[int, int], stride: int
) -> tuple[Manifest, list[np.ndarray]]:
    """A yolo26 head of 64x96 that is silent but for one cell (row, column)."""
    declared = manifest("yolo26", (64, 96), len(logits))
    outputs = []
    for output in declared.head.outputs:
        array = np.full(declared.output_shape(output), -9.0, np.float32)
        if output.stride == stride:
            array[0, cell[0], cell[1]] = sides if output.kind == "box" else logits
        outputs.append(array)
    return declared, outputs


def test_a_box_by_hand() -> None:
    declared, outputs = one_cell([1.0, 0.5, 2.25, 3.0], [0.0, 2.0], cell=(1, 3), stride=16)
    found = Decoder(declared, 0.4).decode(outputs)
    # Centre (3.5, 1.5) strides: 56, 24 px.
    np.testing.assert_allclose(found.boxes, [[40.0, 16.0, 92.0, 72.0]])
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2.0))], rtol=1e-6)
    assert found.class_ids.tolist() == [1]


def test_a_distribution_by_hand() -> None:
    declared = manifest("yolo11", (64, 96), 1)
    outputs = []
    for output in declared.head.outputs:
        array = np.full(declared.output_shape(output), -20.0, np.float32)
        if output.name == "score_s32":
            array[0, 1, 2] = 1.0
        if output.name == "box_s32":
            bins = array[0, 1, 2].reshape(4, 16)
            bins[:] = -60.0
            bins[0, 2] = 5.0  # left: 2 strides
            bins[1, [0, 1]] = 3.0  # top: half of 0, half of 1
            bins[2, [3, 4]] = np.log([1.0, 3.0])  # right: 3.75
            bins[3, :] = 1.0  # bottom: mean of 0..15
        outputs.append(array)
    found = Decoder(declared, 0.5).decode(outputs)
    centre = np.array([2.5, 1.5])
    expected = 32 * np.concatenate((centre - [2.0, 0.5], centre + [3.75, 7.5]))
    np.testing.assert_allclose(found.boxes, [expected], rtol=1e-6)


@pytest.mark.parametrize("offset", [-500.0, 500.0])
def test_extreme_logits_still_make_a_distribution(offset: float) -> None:
    arrays, declared = golden("yolo11"), manifest("yolo11")
    plain = Decoder(declared, 0.25).decode(raw(arrays, declared))
    # Softmax does not see what is added to all of its logits.
    shifted = {k: v + np.float32(offset) if k.startswith("box") else v for k, v in arrays.items()}
    with np.errstate(all="raise", under="ignore"):
        found = Decoder(declared, 0.25).decode(raw(shifted, declared))
    np.testing.assert_allclose(found.boxes, plain.boxes, atol=0.05)


def test_one_detection_a_cell_of_its_best_class() -> None:
    declared, outputs = one_cell([1.0] * 4, [1.0, 3.0, 3.0, 2.0], (0, 0), 8)
    found = Decoder(declared, 0.25).decode(outputs)
    assert found.class_ids.tolist() == [1]


def test_a_class_under_its_own_threshold_gives_way_to_the_next() -> None:
    declared, outputs = one_cell([1.0] * 4, [1.0, 3.0, 2.0], (0, 0), 8)
    found = Decoder(declared, [0.25, 0.99, 0.25]).decode(outputs)
    assert found.class_ids.tolist() == [2]
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2.0))], rtol=1e-6)


def test_threshold_is_exceeded_strictly() -> None:
    declared, outputs = one_cell([1.0] * 4, [0.0, -9.0], (0, 0), 8)
    assert len(Decoder(declared, 0.5).decode(outputs)) == 0
    assert len(Decoder(declared, 0.4999).decode(outputs)) == 1


def test_integer_threshold_is_exceeded_strictly() -> None:
    names = [f"{kind}_s{s}" for kind in ("score", "box") for s in STRIDES]
    declared = manifest("yolo26", (64, 96), 2, quantisation=dict.fromkeys(names, (0.5, 100)))
    outputs = [np.zeros(declared.output_shape(o), np.uint8) for o in declared.head.outputs]
    outputs[0][0, 2, 3] = [99, 101]  # logits -0.5 and 0.5
    outputs[0][0, 4, 4] = [100, 100]  # 0
    assert len(Decoder(declared, 0.5).decode(outputs)) == 1
    just_under = Decoder(declared, 0.4999).decode(outputs)
    assert just_under.class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(just_under.scores, [1 / (1 + np.exp(-0.5)), 0.5], rtol=1e-6)
    assert len(Decoder(declared, 0.0).decode(outputs)) == sum(
        o.shape[1] * o.shape[2] for o in outputs[:3]
    )
    assert len(Decoder(declared, 1.0).decode(outputs)) == 0
    outputs[0][0, 2, 3] = 255
    assert len(Decoder(declared, 1.0).decode(outputs)) == 0


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, 420), (1.0, 0)])
def test_thresholds_at_the_ends(threshold: float, expected: int) -> None:
    declared = manifest("yolo26")
    outputs = raw(golden("yolo26"), declared)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert len(Decoder(declared, threshold).decode(outputs)) == expected


def test_very_low_logits_do_not_overflow() -> None:
    declared, outputs = one_cell([1.0] * 4, [-3e38, -2000.0], (0, 0), 8)
    with np.errstate(over="raise", invalid="raise"):
        found = Decoder(declared, 0.0).decode(outputs)
    assert found.scores.min() < 1e-37
    assert found.scores.max() == pytest.approx(1 / (1 + np.exp(9.0)))


def test_nan_logits_do_not_pass_and_do_not_hide_others() -> None:
    nan = float("nan")
    declared, outputs = one_cell([1.0] * 4, [nan, 2.0], (0, 0), 8)
    assert Decoder(declared, 0.25).decode(outputs).class_ids.tolist() == [1]
    declared, outputs = one_cell([1.0] * 4, [nan, nan], (0, 0), 8)
    assert len(Decoder(declared, 0.25).decode(outputs)) == 0


@pytest.mark.parametrize(
    ("hw", "strides"), [((64, 96), (4, 8, 16, 32)), ((192, 64), (16, 64)), ((512, 640), (8,))]
)
def test_any_strides_and_any_size(hw: tuple[int, int], strides: tuple[int, ...]) -> None:
    declared = manifest("yolo26", hw, 2, strides)
    rng = np.random.default_rng(7)
    outputs, expected = [], []
    for output in declared.head.outputs:
        shape = declared.output_shape(output)
        if output.kind == "box":
            outputs.append(rng.uniform(0, 3, shape).astype(np.float32))
        else:
            outputs.append(np.full(shape, -9.0, np.float32))
    for level, stride in enumerate(strides):
        row, column = hw[0] // stride - 1, hw[1] // stride // 2
        outputs[level][0, row, column, level % 2] = 5.0 - level
        left, top, right, bottom = outputs[len(strides) + level][0, row, column].astype(float)
        x, y = column + 0.5, row + 0.5
        expected.append(stride * np.array([x - left, y - top, x + right, y + bottom]))
    found = Decoder(declared, 0.25).decode(outputs)
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-5, atol=1e-3)
    assert found.class_ids.tolist() == [level % 2 for level in range(len(strides))]


def test_nothing_found_is_empty_and_well_typed() -> None:
    declared, outputs = one_cell([1.0] * 4, [-9.0, -9.0], (0, 0), 8)
    found = Decoder(declared, 0.25).decode(outputs)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.boxes.dtype == np.float32
    assert found.class_ids.dtype == np.int32


def test_outputs_are_left_as_they_were() -> None:
    declared = manifest("yolo11")
    outputs = raw(golden("yolo11"), declared)
    before = [o.copy() for o in outputs]
    Decoder(declared, 0.1).decode(outputs)
    for now, then in zip(outputs, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_other_outputs_than_declared_are_refused() -> None:
    declared = manifest("yolo11")
    outputs = raw(golden("yolo11"), declared)
    decoder = Decoder(declared, 0.25)
    with pytest.raises(BackendError, match="gave 5 outputs where the bundle declares 6"):
        decoder.decode(outputs[:-1])
    with pytest.raises(BackendError, match=r"box_s8 came as float32 \(1, 16, 20, 3\)"):
        decoder.decode(outputs[3:] + outputs[:3])
    with pytest.raises(BackendError, match="came as float64"):
        decoder.decode([o.astype(np.float64) for o in outputs])
    with pytest.raises(BackendError, match="came as uint8"):
        decoder.decode([o.astype(np.uint8) for o in outputs])
