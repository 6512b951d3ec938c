"""Clusters of box sizes: invariants of the clustering, and the file that is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from windhover_training.cli import main
from windhover_training.data.describe.anchors import (
    best_possible_recall,
    cluster,
    iou_of_sizes,
    stride_of,
)

sizes = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(2, 600)))


@given(sizes, sizes)
def test_iou_is_a_share_and_one_only_for_equal_sizes(a, b) -> None:
    iou = iou_of_sizes(a, b)
    assert iou.shape == (len(a), len(b))
    assert (iou > 0).all()
    assert (iou <= 1 + 1e-12).all()
    np.testing.assert_allclose(np.diag(iou_of_sizes(a, a)), 1)
    np.testing.assert_allclose(iou, iou_of_sizes(b, a).T)


@given(sizes, st.integers(1, 9), st.integers(0, 5))
def test_clusters_lie_among_the_boxes_and_every_box_has_one(boxes, count, seed) -> None:
    found = cluster(boxes, count, seed)
    assert len(found.sizes) <= min(count, len(np.unique(boxes, axis=0)))
    assert found.members.sum() == len(boxes)
    assert (found.sizes >= boxes.min(axis=0) - 1e-9).all()
    assert (found.sizes <= boxes.max(axis=0) + 1e-9).all()
    assert (np.diff(found.sizes.prod(axis=1)) >= 0).all()
    assert 0 < found.mean_iou <= 1 + 1e-12
    assert 0 <= found.recall <= 1
    again = cluster(boxes, count, seed)
    np.testing.assert_array_equal(found.sizes, again.sizes)


@given(sizes, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_unit_of_length_does_not_matter(boxes, factor) -> None:
    found, scaled = cluster(boxes, 3), cluster(boxes * factor, 3)
    np.testing.assert_allclose(scaled.sizes, found.sizes * factor)
    assert scaled.recall == found.recall


def test_groups_that_are_there_are_found() -> None:
    rng = np.random.default_rng(1)
    true = np.array([[8.0, 16], [30, 30], [120, 60]])
    boxes = np.concatenate([size * rng.uniform(0.9, 1.1, (200, 2)) for size in true])
    found = cluster(boxes, 3)
    np.testing.assert_allclose(found.sizes, true, rtol=0.05)
    assert found.members.tolist() == [200, 200, 200]
    assert found.recall == 1
    # More clusters never fit worse by much; as many as sizes fit perfectly.
    assert cluster(boxes, 9).mean_iou > found.mean_iou
    assert cluster(true, 9).mean_iou == pytest.approx(1)


def test_recall_counts_boxes_within_a_factor_of_four() -> None:
    anchors = np.array([[10.0, 10]])
    boxes = np.array([[39.0, 10], [41, 10], [10, 2.6], [10, 2.4]])
    assert best_possible_recall(boxes, anchors) == 0.5


@pytest.mark.parametrize(
    ("side", "stride"), [(5, 4), (8, 4), (16, 8), (31, 8), (32, 16), (500, 32)]
)
def test_a_stride_has_two_cells_in_a_box(side, stride) -> None:
    assert stride_of(np.array([side, side], float)) == stride


def test_the_command_writes_what_the_guide_asks_for(
    tiny: Path, convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(tiny, tmp_path / "set", {"test": ["day-60m-00100"]})
    out = tmp_path / "anchors.json"
    assert main(["anchors", str(tmp_path / "set"), "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["altitude_range"] == "60-80m"
    assert document["n_anchors"] == len(document["anchors"]) == 4  # so many different sizes
    # 160 px wide frames are four times as large in a 640 px input.
    assert document["anchors"] == [[40, 80], [80, 48], [120, 80], [160, 96]]
    assert document["best_possible_recall"] == 1
    assert "anchor-free" in document["note"]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "anchor-free" in capsys.readouterr().out
    assert main(["anchors", str(tmp_path / "set"), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["anchors", str(tmp_path / "set"), "--out", str(out), "--force"]) == 0
