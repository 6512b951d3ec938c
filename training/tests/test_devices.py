"""``--device``: each phase trains its model on the device that is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

from windhover.errors import ConfigError
from windhover_training.cli import main
from windhover_training.config import ModelSpec
from windhover_training.data.render.rgbt_scenes import Part, render_part
from windhover_training.detector_config import DetectorConfig
from windhover_training.engine import model as engine_model
from windhover_training.engine.loop import short_float
from windhover_training.engine.model import build_model, choose_device, save_weights
from windhover_training.fusion_config import FusionConfig
from windhover_training.phases import qat, training
from windhover_training.phases.registry import PHASES
from windhover_training.runs import Run
from windhover_training.second_look_config import SecondLookConfig

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
#: A step and no more.
SHORT = {"steps": 1, "batch": 2, "warmup_steps": 0, "amp": False}
Settings = Callable[..., dict[str, Any]]


class FakeGpu:
    """A GPU that torch says is there; what is moved to it is noted and stays on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._there: list[torch.nn.Module] = []
        #: Whether the model of each training was moved before it began.
        self.trained: list[bool] = []
        move = torch.nn.Module.to

        def to(module: torch.nn.Module, *where: Any, **options: Any) -> torch.nn.Module:
            devices = [w for w in where if isinstance(w, torch.device)]
            if any(device.type == "cuda" for device in devices):
                self._there += list(module.modules())
                return module
            return move(module, *where, **options)

        def train(learner: torch.nn.Module, *_: Any, **__: Any) -> None:
            """Stop where the loop would begin, as if asked to."""
            # A learner that holds a traced copy of a model was made of the moved one.
            inner = getattr(learner, "student", learner)
            self.trained.append(any(each is inner for each in self._there) or self._traced(inner))

        monkeypatch.setattr(engine_model, "gpu_count", lambda: 1)
        monkeypatch.setattr(torch.nn.Module, "to", to)
        for phase in (qat, training):
            monkeypatch.setattr(phase, "train", train)

    def _traced(self, learner: torch.nn.Module) -> bool:
        return type(learner).__name__ == "QuantisationSimulation" and bool(self._there)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    for part in ("train", "armed"):
        render_part(out, Part(part, range(3, 4), frames=1))
    return out


@pytest.fixture
def settings(
    epoch_settings: Settings,
    shapes: Callable[[int], Path],
    tiny: Path,
    convert: Callable[..., Any],
    scenes: Path,
    tmp_path: Path,
) -> Callable[[str], dict[str, Any]]:
    """Values of a config of each phase."""

    def weights(labels: list[str], channels: int = 1) -> str:
        spec = ModelSpec(model=str(HERE / "tiny11.yaml"), labels=labels, channels=channels)
        model = build_model(spec.model, channels, len(labels))
        return str(save_weights(Run(tmp_path / f"weights{len(labels)}"), model, spec))

    def fusion() -> dict[str, Any]:
        return FusionConfig(
            name="tiny", labels=["person", "weapon", "motorcycle", "vehicle"], data=scenes,
            imgsz=64, class_weights=[1, 1, 1, 1], **SHORT,
        ).model_dump(mode="json")  # fmt: skip

    def of(phase: str) -> dict[str, Any]:
        base = epoch_settings()
        base |= {"data": str(base["data"])}
        if phase == "second-look":
            return SecondLookConfig(
                name="tiny", model=base["model"], labels=base["labels"], imgsz=64,
                pools=[{"data": str(shapes(3)), "share": 1}],
                **SHORT,
            ).model_dump(mode="json")  # fmt: skip
        if phase in {"bootstrap", "benchmark", "curriculum", "distill"}:
            best = weights(["upright", "lying"])
            starts = {
                "curriculum": {"pretrained": best},
                "distill": {"pretrained": best, "teacher": best},
            }
            return base | starts.get(phase, {})
        if phase in {"fusion", "weapons"}:
            cutouts = str(_cutouts(tmp_path / "cutouts")) if phase == "weapons" else None
            return fusion() | {"cutouts": cutouts}
        if phase == "ablation":
            (tmp_path / "base.yaml").write_text(yaml.safe_dump(fusion()))
            return {
                "name": "tiny", "base": str(tmp_path / "base.yaml"), "steps": 1,
                "scored_on": [str(scenes), "train"], "height": 64, "width": 96,
            }  # fmt: skip
        data = tmp_path / "data"
        convert(tiny, data, {"test": ["day-60m-00100"]})
        labels = ["person", "vehicle", "two-wheeler"]
        if phase == "qat":
            release = {
                "name": "tiny", "version": "0", "checkpoint": weights(labels), "height": 128,
                "width": 160, "calibration": {"data": [str(data)], "images": 1}, "scores": {},
                "thresholds_on": [{"data": str(data), "split": "test"}], "provenance": {},
            }  # fmt: skip
            (tmp_path / "release.yaml").write_text(yaml.safe_dump(release))
            return {
                "name": "qat", "release": str(tmp_path / "release.yaml"), "data": str(data),
                "imgsz": 96, "scored_on": [str(data), "test"], "calibration_images": 1,
                **SHORT,
            }  # fmt: skip
        return DetectorConfig(
            name="tiny", labels=labels, data=data, imgsz=96, class_weights=[1, 1, 1], **SHORT,
        ).model_dump(mode="json")  # fmt: skip

    return of


def _cutouts(root: Path) -> Path:
    """One dark bar on a bright ground, which stands out from it."""
    root.mkdir()
    pixels = np.full((120, 200, 3), 230, np.uint8)
    cv2.line(pixels, (20, 60), (180, 60), (20, 20, 20), 9)
    cv2.imwrite(str(root / "rifle.png"), pixels)
    document = {
        "images": [{"id": 1, "file_name": "rifle.png", "width": 200, "height": 120}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [14, 54, 172, 13]}],
        "categories": [{"id": 1, "name": "rifle"}],
    }
    (root / "_annotations.coco.json").write_text(json.dumps(document))
    return root


@pytest.mark.parametrize("phase", [name for name in PHASES if name != "interpolate"])
def test_each_phase_moves_its_model_to_the_device_that_is_named(
    phase: str, settings: Callable[[str], dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings(phase)))
    gpu = FakeGpu(monkeypatch)
    command = [*PHASES[phase].command.split(), "--config", str(tmp_path / "config.yaml")]
    assert main([*command, "--run", str(tmp_path / "run"), "--device", "cuda"]) == 0
    assert gpu.trained == [True]


@pytest.mark.parametrize("phase", ["bootstrap", "detector", "qat"])
def test_a_gpu_that_is_not_there_is_one_line(
    phase: str, settings: Callable[[str], dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(engine_model, "gpu_count", lambda: 0)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings(phase)))
    command = [*PHASES[phase].command.split(), "--config", str(tmp_path / "config.yaml")]
    assert main([*command, "--run", str(tmp_path / "run"), "--device", "cuda"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("no GPU; use auto or cpu")


@pytest.mark.parametrize(
    ("name", "gpus", "where"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cuda:1", 2, "cuda:1"), ("cpu", 2, "cpu")],
)
def test_a_name_stands_for_a_device(
    name: str, gpus: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_model, "gpu_count", lambda: gpus)
    assert str(choose_device(name)) == where


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "meta", "0"])
def test_a_device_that_cannot_be_trained_on_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_model, "gpu_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"device '{name}'"):
        choose_device(name)


@pytest.mark.parametrize(("has", "short"), [(True, torch.bfloat16), (False, None)])
def test_a_cpu_without_bfloat16_trains_in_float32(
    has: bool, short: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated, a step takes eight times as long."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert short_float(torch.device("cpu")) is short
