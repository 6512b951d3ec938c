"""What a person gets wrong is one line and status 2, and leaves nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover.errors import DataError
from windhover_training.cli import main
from windhover_training.config import ModelSpec
from windhover_training.engine import loop
from windhover_training.engine.model import build_model, load_weights, save_weights
from windhover_training.phases import training
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
THERMAL_N = HERE.parents[1] / "models/thermal-n/float.onnx"
LABELS = ["upright", "lying"]


@pytest.fixture
def refused(
    epoch_settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """The one line that a phase ends with; its run folder must be gone."""

    def of(phase: str = "bootstrap", **changes: Any) -> str:
        settings = epoch_settings() | changes
        settings |= {key: str(value) for key, value in settings.items() if isinstance(value, Path)}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        run = tmp_path / "run"
        command = ["train", phase, "--config", str(tmp_path / "config.yaml"), "--run", str(run)]
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert not run.exists()
        return error

    return of


def checkpoint(folder: Path, model: str) -> Path:
    spec = ModelSpec(model=str(HERE / model), labels=LABELS, channels=1)
    return save_weights(Run(folder), build_model(spec.model, 1, 2), spec)


def test_weights_of_another_architecture(refused: Callable[..., str], tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "wide", "wide11.yaml")
    assert "of another model" in refused(pretrained=other)
    said = refused(pretrained=THERMAL_N, labels=["upright", "lying"])
    assert "layers; they are of another model" in said
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    assert "bad.onnx: can't be read" in refused(pretrained=tmp_path / "bad.onnx")


def test_weights_that_are_not_those_of_their_config(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "wide", "wide11.yaml")
    state = torch.load(path, weights_only=False)
    state["config"]["model"] = str(HERE / "tiny11.yaml")
    torch.save(state, path)
    with pytest.raises(DataError, match=r"not those of .*tiny11\.yaml"):
        load_weights(path)


def test_a_set_that_lacks_or_numbers_labels_otherwise(
    refused: Callable[..., str], shapes: Callable[[int], Path]
) -> None:
    assert "has no category car" in refused(labels=[*LABELS, "car"])
    own = {"data": shapes(1), "class_weights": [1, 1], "epochs": None, "steps": 1}
    own |= {"warmup_epochs": None}
    assert "has no category car" in refused("detector", **own, labels=["upright", "car"])
    said = refused("detector", **own, labels=["lying", "upright"])
    assert "categories 0 upright, 1 lying are not numbered as 'labels'" in said


@pytest.mark.parametrize("where", ["forward", "start"])
def test_memory_that_holds_not_even_one_image(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def hungry(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory (injected)")

    if where == "forward":
        monkeypatch.setattr(loop, "detection_loss", hungry)
    else:
        monkeypatch.setattr(training, "_train_here", hungry)
    said = refused(batch=4)
    assert "device cpu: not enough memory, even for one image at a time" in said


def test_a_truncated_checkpoint_of_a_run(
    epoch_settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = epoch_settings(epochs=1, val_images=1)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings | {"data": str(settings["data"])}))
    command = ["train", "bootstrap", "--config", str(tmp_path / "c.yaml")]
    command += ["--run", str(tmp_path / "run")]
    assert main(command) == 0
    kept = tmp_path / "run/last.pt"
    kept.write_bytes(kept.read_bytes()[:500])
    (tmp_path / "run/state.json").unlink()
    capsys.readouterr()
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "last.pt is damaged" in error
    assert error.count("\n") == 1
    assert (tmp_path / "run/best.pt").exists()
