"""The fidelity_table of what quantising costs, on a model whose detections are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import BackendError, ConfigError, SourceError
from windhover.inference import BACKENDS, open_backend
from windhover.model.bundle import Bundle
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.fidelity import variants as fidelity_variants
from windhover_evaluation.fidelity.variants import (
    evaluate_fidelity,
    fidelity_table,
    sample_images,
    variant_names,
)
from windhover_sim.blob_bundle import build_blob_bundle

SIDE = 32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_blob_bundle(
        tmp_path_factory.mktemp("m") / "blobs", height=64, width=96, quantised=True
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with a person each, and their truth."""
    folder = tmp_path_factory.mktemp("images")
    boxes = []
    for number, left in enumerate((8, 24, 40, 56)):
        picture = np.zeros((64, 96), np.uint8)
        picture[16 : 16 + SIDE, left : left + SIDE] = 220
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        boxes.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [left, 16, SIDE, SIDE]}
        )
    document = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 96, "height": 64} for n in range(4)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def truth(images: Path, bundle: Bundle) -> Truth:
    return load_truth(images / "truth.json", bundle.labels)


class Dimmed:
    """int8.onnx on the CPU, with every score lowered by some steps of its scale."""

    name, device = "cpu", "here"

    def __init__(self, bundle: Bundle, steps: int) -> None:
        self.inner, self.steps = open_backend(bundle, "cpu", precision="int8"), steps

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        box8, score8, box16, score16 = (np.asarray(o) for o in self.inner.run(image))
        dark = [
            np.maximum(s.astype(int) - self.steps, 0).astype(np.uint8) for s in (score8, score16)
        ]
        return [box8, dark[0], box16, dark[1]]

    def close(self) -> None:
        self.inner.close()


def test_int8_finds_what_float_finds(
    bundle: Bundle, truth: Truth, images: Path, tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    names = variant_names("cpu")
    base, int8 = evaluate_fidelity(
        bundle, truth, images, names, tmp_path, lambda *step: done.append(step)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (base.scores.map50, int8.scores.map50) == pytest.approx((1.0, 1.0))
    assert base.fidelity is None
    assert int8.fidelity is not None
    assert (int8.fidelity.matched, int8.fidelity.reference_count) == (4, 4)
    heading, first, second = fidelity_table([base, int8])
    assert heading[2] == "person AP50 / recall"
    assert (first[0], second[0]) == ("float.onnx, CPU", "int8.onnx, CPU")
    assert second[1:5] == ["100.0 (+0.0)", "100.0 / 100.0", "-", "4 of 4"]
    text = (tmp_path / "fidelity.md").read_text()
    assert text.splitlines()[3].startswith("| int8.onnx, CPU  | 100.0 (+0.0) |")
    written = json.loads((tmp_path / "fidelity.json").read_text())
    assert written["run"]["images"] == 4
    assert written["variants"]["cpu"]["detection"]["overall"]["mAP50"] == 1.0


def test_low_scores_count_for_ap_and_not_for_recall(
    bundle: Bundle, truth: Truth, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The best cell has a logit of 6: 60 steps of 1/8 lower it to -1.5, a score of 0.18.
    dimmed = dict(BACKENDS)
    dimmed["dlc"] = type(dimmed["cpu"])(lambda b: Dimmed(b, 60), frozenset(), lambda: (True, ""))
    monkeypatch.setattr("windhover.inference.BACKENDS", dimmed)
    base, low = evaluate_fidelity(bundle, truth, images, variant_names("dlc"), tmp_path)
    person = low.scores.classes[0]
    assert base.scores.classes[0].at_threshold.recall == 1.0
    assert person.ap50 == pytest.approx(1.0)
    assert person.at_threshold.recall == 0.0
    assert low.fidelity is not None
    assert low.fidelity.other_count == 0


def test_outputs_of_the_htp_are_cached_for_the_next_run(
    bundle: Bundle, truth: Truth, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []

    class Counted(Dimmed):
        def run(self, image: np.ndarray) -> list[np.ndarray]:
            runs.append(1)
            return super().run(image)

    htp = dict(BACKENDS)
    htp["qnn"] = replace(htp["qnn"], open=lambda b: Counted(b, 0), probe=lambda: (True, ""))
    monkeypatch.setattr("windhover.inference.BACKENDS", htp)
    names = variant_names("qnn")
    some = evaluate_fidelity(bundle, sample_images(truth, 2), images, names, tmp_path)
    assert len(runs) == 2
    _, first = evaluate_fidelity(bundle, truth, images, names, tmp_path)
    assert len(runs) == 4
    _, again = evaluate_fidelity(bundle, truth, images, names, tmp_path)
    assert len(runs) == 4
    assert again.fidelity == first.fidelity
    assert again.scores.map50 == first.scores.map50 == pytest.approx(1.0)
    # Another folder knows nothing.
    evaluate_fidelity(bundle, sample_images(truth, 1), images, names, tmp_path / "other")
    assert len(runs) == 5
    assert some[1].fidelity is not None


def test_an_emulator_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    scores = None  # not looked at
    row = fidelity_variants.Variant("dlc", "", scores, None)  # type: ignore[arg-type]
    assert row.title == "int8.dlc, HTP emulator on x86_64"


def test_images_are_sampled_evenly(truth: Truth) -> None:
    half = sample_images(truth, 2)
    assert [image.file_name for image in half.images] == ["0.png", "3.png"]
    assert half.image_rows.tolist() == [0, 1]
    assert half.boxes[:, 0].tolist() == [8.0, 56.0]
    assert sample_images(truth, 99).images == truth.images
    with pytest.raises(ConfigError, match="1 or more"):
        sample_images(truth, 0)


def test_a_missing_camera_is_reported(
    images: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("m") / "both"
    both = build_blob_bundle(folder, height=64, width=96, channels="rgbt", quantised=True)
    truth = load_truth(images / "truth.json", both.labels)
    base, _ = evaluate_fidelity(both, truth, images, variant_names("cpu"), tmp_path)
    assert base.scores.map50 == pytest.approx(1.0)
    warning = "4 of 4 images have no RGB picture: the model saw black there"
    assert (tmp_path / "fidelity.md").read_text().endswith(f"|\n\n{warning}\n")
    assert json.loads((tmp_path / "fidelity.json").read_text())["warnings"] == [warning]


def test_names_of_variants() -> None:
    assert variant_names("dlc, cpu,dlc") == ("float", "dlc", "cpu")
    for text in ("", "float", "cpu,gpu"):
        with pytest.raises(ConfigError, match="cpu, qnn, dlc"):
            variant_names(text)


def test_missing_files_are_refused(
    bundle: Bundle, truth: Truth, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match="dlc"):
        evaluate_fidelity(bundle, truth, images, variant_names("dlc"), tmp_path)
    with pytest.raises(SourceError, match=r"0\.png"):
        evaluate_fidelity(bundle, truth, tmp_path, variant_names("cpu"), tmp_path)
