"""A level of stride 4: it begins at nothing, is trained, exported, quantised, compiled, decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np
import torch

from windhover.inference import open_backend
from windhover.model import Bundle, Role
from windhover.types import Frame
from windhover_evaluation.fidelity.agreement import compare_backends
from windhover_training.config import (
    LabelledSplit,
    ModelSpec,
    QuantisationConfig,
    ReleaseConfig,
)
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.model import (
    build_as,
    build_model,
    raw_heads,
    save_weights,
    take_weights,
)
from windhover_training.engine.warm_start import read_weights, recalibrate_batchnorm, warm_start
from windhover_training.export.quantise import quantise
from windhover_training.fusion_config import FusionConfig, RgbtAugmentation
from windhover_training.phases.fusion import run_fusion
from windhover_training.phases.release import export
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

TESTS = Path(__file__).parent
MODELS = Path(__file__).parents[2] / "models"
#: Least threshold that anything is scored or mined with is 0.005.
FAR_BELOW = 0.001


def spec(model: str, bundle: str) -> ModelSpec:
    """A model that the weights of a released bundle fit."""
    labels = list(Bundle.load(MODELS / bundle).labels)
    if bundle == "thermal-n":
        return ModelSpec(model=model, labels=labels, channels=1, head_classes=80)
    return ModelSpec(model=model, labels=labels, fusion="cbam", head_classes=80, thermal_level="p4")


def started(model: str, bundle: str) -> torch.nn.Module:
    torch.manual_seed(1)
    built = build_as(spec(model, bundle))
    weights = read_weights(MODELS / bundle / "float.onnx")
    warm_start(built, weights, range(len(Bundle.load(MODELS / bundle).labels)))
    return built.eval()


def picture(model: torch.nn.Module, seed: int = 0, size: int = 128) -> torch.Tensor:
    channels = 4 if isinstance(model, RgbtModel) else 1
    return torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(seed))


def assert_begins_at_nothing(fine: torch.nn.Module, plain: torch.nn.Module) -> None:
    """The coarser levels give exactly what the plain model gives, and the new one nothing."""
    assert (fine.stride.tolist(), plain.stride.tolist()) == ([4, 8, 16, 32], [8, 16, 32])
    with torch.no_grad():
        ours, theirs = (raw_heads(model, picture(plain)) for model in (fine, plain))
    assert [tuple(head.shape[2:]) for head in ours[::2]] == [(32, 32), (16, 16), (8, 8), (4, 4)]
    for mine, other in zip(ours[2:], theirs, strict=True):
        assert torch.equal(mine, other)
    assert float(ours[1].sigmoid().max()) < FAR_BELOW
    # The comparison is worth something only if the pictures matter.
    assert all(float(head.std()) > 0.01 for head in theirs)


@pytest.mark.parametrize("bundle", ["thermal-n", "rgbt-n"])
def test_from_a_released_bundle_it_begins_at_nothing(bundle: str) -> None:
    fine, plain = (started(name, bundle) for name in ("yolo11n-p2.yaml", "yolo11n.yaml"))
    assert_begins_at_nothing(fine, plain)


def test_statistics_of_the_new_level_are_those_of_its_maps_and_change_nothing_else() -> None:
    model = started("yolo11n-p2.yaml", "thermal-n")
    batches = [picture(model, seed).expand(2, -1, -1, -1) for seed in (3, 4)]
    with torch.no_grad():
        before = raw_heads(model, picture(model))
        recalibrate_batchnorm(model, batches)
        after = raw_heads(model, picture(model))
    for mine, other in zip(after[2:], before[2:], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)
    assert float(after[1].sigmoid().max()) < FAR_BELOW
    seen: list[torch.Tensor] = []
    layer = model.model[25].cv2  # the last of what makes the new level's map
    layer.bn.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        for batch in batches:
            model(batch)
    values = torch.cat(seen).transpose(0, 1).flatten(1)
    assert layer.bn.momentum is not None
    torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), rtol=0, atol=0.1)
    torch.testing.assert_close(values.std(1), torch.ones(len(values)), rtol=0, atol=0.1)


def test_a_run_without_the_level_starts_one_with_it(tmp_path: Path) -> None:
    plain = started("yolo11n.yaml", "thermal-n")
    weights = save_weights(Run(tmp_path / "run"), plain, spec("yolo11n.yaml", "thermal-n"))
    fine = build_model("yolo11n-p2.yaml", 1, 3, 80).eval()
    take_weights(fine, weights)
    assert_begins_at_nothing(fine, plain)


@pytest.mark.parametrize("scale", ["n", "s"])
def test_the_other_levels_are_as_wide_as_without_it(scale: str) -> None:
    fine, plain = (build_model(f"yolo11{scale}{rest}.yaml", 1, 3) for rest in ("-p2", ""))
    for branch in ("cv2", "cv3"):
        for level, other in enumerate(getattr(plain.model[-1], branch), 1):
            own = getattr(fine.model[-1], branch)[level].state_dict()
            for name, value in other.state_dict().items():
                assert own[name].shape == value.shape, (branch, level, name)


def val_frames(root: Path) -> list[Frame]:
    """The validation pictures of a set, B, G, R, T."""
    files = sorted((root / "images/val").iterdir())
    return [Frame(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), "8UC4", 0) for file in files]


def test_it_is_trained_exported_quantised_compiled_and_decoded(
    shapes: Callable[[int], Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    from windhover.inference.build import add_to_bundle

    root = shapes(4)
    config = FusionConfig(
        name="p2",
        model=str(TESTS / "tiny11-p2.yaml"),
        labels=["upright", "lying"],
        fusion="early",
        data=root,
        imgsz=64,
        class_weights=[1, 1],
        augmentation=RgbtAugmentation(
            scale_near=(1, 1), wide_probability=0, rgb_gain=(1, 1), rgb_tint=0, rgb_noise=0, blur=0,
            thermal_gain=(1, 1), thermal_level=0, thermal_invert=0, misregistration=0, blank_rgb=0,
            blank_thermal=0, stale_thermal=0,
        ),
        steps=150, batch=8, lr0=8e-3, lrf=0.02, warmup_steps=10, ema=0.9, amp=False, patience=0,
    )  # fmt: skip
    done = run_fusion(config, Run(tmp_path / "run"))
    assert done is not None
    release = ReleaseConfig(
        name="p2", version="0", checkpoint=done.final, height=64, width=64,
        calibration=QuantisationConfig(data=[root], images=8), scores={},
        thresholds_on=(LabelledSplit(data=root, split="val"),), provenance={},
    )  # fmt: skip
    bundle = add_to_bundle(export(release, tmp_path / "bundle").root)
    assert bundle.head.strides == (4, 8, 16, 32)
    assert [output.name for output in bundle.head.outputs][:2] == ["box_s4", "score_s4"]
    assert {Role.FLOAT_ONNX, Role.INT8_ONNX, Role.INT8_DLC} <= set(bundle.files)

    # What it is surest of after so few steps, from its level of stride 4 too.
    frames = val_frames(root)
    exact = open_backend(bundle, "cpu", precision="float")
    scores = [exact.run(frame.image[None])[1::2] for frame in frames]
    best = max(float(level.max()) for heads in scores for level in heads)
    limit = 0.5 / (1 + np.exp(-best))
    limits = bundle.thresholds.model_copy(update={"score": limit, "per_class": {}})
    others = {"int8": open_backend(bundle, "cpu", precision="int8")}
    others["dlc"] = open_backend(bundle, "dlc")
    judged = bundle.model_copy(update={"thresholds": limits})
    result = compare_backends(judged, exact, others, frames)
    for each in result.values():
        # Eight bits cost a network of so few steps and pictures some score, and no place.
        assert each.reference_count > 0
        assert each.matched >= 0.5 * each.reference_count
        assert each.mean_iou > 0.8
        assert each.sqnr_db["box_s4"] > 10


def test_thermal_n_with_the_level_is_built_at_its_size(tmp_path: Path) -> None:
    """640x512, with the weights of the released bundle, every op on the HTP."""
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    import onnx

    from windhover.inference.build import build_context
    from windhover_training.export.graph import export_core

    model = started("yolo11n-p2.yaml", "thermal-n")
    core = export_core(model, 512, 640, 1)
    image = np.random.default_rng(0).integers(0, 256, (1, 512, 640, 1), np.uint8)
    settings = QuantisationConfig(data=[], images=1)
    onnx.save(quantise(core, [image], settings), tmp_path / "int8.onnx")
    build_context(tmp_path / "int8.onnx", tmp_path / "qcs8550.bin", "qcs8550")
    assert (tmp_path / "qcs8550.bin").stat().st_size > 1_000_000
