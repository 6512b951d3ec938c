"""Phase 1 on a tiny set: learns, resumes exactly, stops early, survives a lack of memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import torch
import yaml

from windhover.errors import ConfigError, DataError
from windhover_training.cli import main
from windhover_training.data.augment.heavy import HeavySampler
from windhover_training.engine import loop
from windhover_training.engine.model import load_weights
from windhover_training.engine.objective import detection_loss
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE
from windhover_training.phases.pictures import PictureConfig
from windhover_training.runs import Run, RunState

pytestmark = pytest.mark.train_env


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def last(run: Path) -> dict:
    return torch.load(run / "last.pt", weights_only=False)


def same_weights(a: Path, b: Path) -> bool:
    first, second = last(a), last(b)
    return first["step"] == second["step"] and all(
        torch.equal(first[part][key], second[part][key])
        for part in ("model", "ema")
        for key in first[part]
    )


@pytest.mark.parametrize(
    ("channels", "model"), [(1, "tiny11.yaml"), (3, "tiny26.yaml"), (4, "tiny11.yaml")]
)
def test_a_run_leaves_best_weights_and_all_that_tells_how(
    channels: int, model: str, epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    config = PictureConfig(**epoch_settings(channels, model))
    assert execute(PHASE, config, tmp_path / "run")
    run = Run(tmp_path / "run")
    loaded, spec = load_weights(run.best)
    assert (spec.labels, spec.channels) == (["upright", "lying"], channels)
    assert loaded(torch.zeros(1, channels, 64, 64))[0].isfinite().all()
    metrics = run.metrics()
    assert metrics is not None
    assert {"map50", "map50_95", "ap50_upright", "ap50_lying"} <= metrics["val"].keys()
    assert 0 <= metrics["val"]["map50"] <= 1
    assert run.read("data.json") == {
        "images": 12, "boxes": {"upright": 12, "lying": 8}, "left_out": {}
    }  # fmt: skip
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert last(run.folder)["step"] == 6
    assert [r["step"] for r in rows(run.folder) if "map50" in r] == [3, 6]


def test_damaged_images_end_no_run_and_are_listed(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    data = tmp_path / "damaged"
    shutil.copytree(epoch_settings()["data"], data)
    for name in ("train/2.png", "val/1.png"):
        (data / "images" / name).write_bytes(b"no image")
    config = PictureConfig(**epoch_settings(epochs=1) | {"data": data})
    assert execute(PHASE, config, tmp_path / "run")
    metrics = Run(tmp_path / "run").metrics()
    assert metrics is not None
    assert [Path(p).parts[-2:] for p in sorted(metrics["unreadable"])] == [
        ("train", "2.png"), ("val", "1.png")
    ]  # fmt: skip


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process the signal of an impatient person in the middle of a step."""
    draw, count = HeavySampler.draw, iter(range(10_000))

    def counting(self, number):
        if next(count) == 4 * steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, number)

    monkeypatch.setattr(HeavySampler, "draw", counting)


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PictureConfig(**epoch_settings(amp=True, accumulate=2, batch=2))
    assert execute(PHASE, config, tmp_path / "whole")
    for stop in (1, 2):
        with monkeypatch.context() as patch:
            stop_after(stop, patch)
            assert not execute(PHASE, config, tmp_path / "parts")
        assert Run(tmp_path / "parts").state() is RunState.STOPPED
    assert last(tmp_path / "parts")["step"] == 5
    assert execute(PHASE, config, tmp_path / "parts")
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert Run(tmp_path / "whole").metrics() == Run(tmp_path / "parts").metrics()


class Clock:
    """A second passes each time that somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_a_clock_ends_the_cosine_on_time_in_parts_as_in_one_go(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PictureConfig(**epoch_settings(minutes=1, warmup_epochs=0, checkpoint_seconds=600))
    monkeypatch.setattr(loop, "time", Clock())
    assert execute(PHASE, config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        assert not execute(PHASE, config, tmp_path / "parts")
    assert last(tmp_path / "parts")["seconds"] < 40
    assert execute(PHASE, config, tmp_path / "parts")
    for name in ("whole", "parts"):
        state = last(tmp_path / name)
        # A step takes some looks at the clock: the last one begins that short before the end.
        assert 60 <= state["seconds"] < 72
        assert state["step"] > 8
        assert state["optimiser"]["param_groups"][0]["lr"] < 0.1 * config.lr0
        assert state["validated"] == state["step"]


def test_threads_that_draw_ahead_change_nothing(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    for workers in (0, 2):
        config = PictureConfig(**epoch_settings(epochs=1, workers=workers))
        assert execute(PHASE, config, tmp_path / str(workers))
    assert same_weights(tmp_path / "0", tmp_path / "2")


def test_accumulated_passes_see_the_images_of_one_large_pass(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch
) -> None:
    seen: dict[int, list[torch.Tensor]] = {4: [], 2: []}

    def watching(model, batch, autocast):
        seen[len(batch["img"])].append(batch["img"])
        return detection_loss(model, batch, autocast)

    monkeypatch.setattr(loop, "detection_loss", watching)
    for batch, accumulate in ((4, 1), (2, 2)):
        settings = epoch_settings(epochs=1, batch=batch, accumulate=accumulate)
        execute(PHASE, PictureConfig(**settings), tmp_path / str(batch))
        assert last(tmp_path / str(batch))["step"] == 3
    assert (len(seen[4]), len(seen[2])) == (3, 6)
    assert torch.equal(torch.cat(seen[4]), torch.cat(seen[2]))


def test_a_lack_of_memory_halves_the_pass_and_doubles_their_number(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch, capsys
) -> None:
    seen: list[int] = []

    def hungry(model, batch, autocast):
        seen.append(len(batch["img"]))
        if len(batch["img"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return detection_loss(model, batch, autocast)

    monkeypatch.setattr(loop, "detection_loss", hungry)
    config = PictureConfig(**epoch_settings(epochs=1, batch=8))
    assert execute(PHASE, config, tmp_path / "run")
    # Two steps of 8 images: 8 and 4 fail, then four passes of 2 each.
    assert seen == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    said = capsys.readouterr().out
    assert "out of memory at step 0: from now on 4 images a forward pass, 2 passes" in said
    assert "from now on 2 images a forward pass, 4 passes a step" in said
    assert last(tmp_path / "run")["chunk"] == 2


def test_other_errors_are_not_hidden(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch
) -> None:
    def failing(model, batch, autocast):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(loop, "detection_loss", failing)
    config = PictureConfig(**epoch_settings(epochs=1, batch=4))
    with pytest.raises(RuntimeError, match="shapes differ"):
        execute(PHASE, config, tmp_path / "run")


def test_training_ends_where_scores_do_not_rise(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    # With a vanishing learning rate the scores stay what they are.
    config = PictureConfig(**epoch_settings(epochs=50, lr0=1e-12, patience=2))
    assert execute(PHASE, config, tmp_path / "run")
    assert last(tmp_path / "run")["step"] == 9
    assert Run(tmp_path / "run").metrics()["val"]["step"] == 3


def test_batch_auto_is_chosen_once_and_kept(
    epoch_settings: Callable[..., dict], tmp_path: Path, monkeypatch
) -> None:
    from windhover_training.engine import memory

    config = PictureConfig(**epoch_settings(epochs=1, batch="auto"))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 24_000_000)
    execute(PHASE, config, tmp_path / "run")
    batch = int((tmp_path / "run/batch.txt").read_text())
    assert batch in {2, 4, 8, 16, 32}
    assert last(tmp_path / "run")["step"] == 1  # 64 images a step, however many a pass
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    execute(PHASE, config, tmp_path / "other")
    assert int((tmp_path / "other/batch.txt").read_text()) == 64


def test_bad_input_is_one_line_and_status_2(
    epoch_settings: Callable[..., dict], tmp_path: Path, capsys
) -> None:
    path = tmp_path / "bootstrap.yaml"
    good = epoch_settings() | {"data": str(tmp_path / "nothing")}
    for change, said in (
        ({}, "data convert"),
        ({"channels": 2}, "channels must be 1, 3 or 4"),
        ({"splits": ["val"]}, "can't both be trained on and validate"),
        ({"loss": {"class_weights": [1]}}, "1 class weights for 2 labels"),
        ({"imgsz": 50}, "multiple of 32"),
    ):
        path.write_text(yaml.safe_dump(good | change))
        assert main(["train", "bootstrap", "--config", str(path), "--run", "r"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_the_batch_can_be_said_on_the_command_line(
    epoch_settings: Callable[..., dict], tmp_path: Path, capsys
) -> None:
    path = tmp_path / "bootstrap.yaml"
    settings = epoch_settings(epochs=1)
    path.write_text(yaml.safe_dump(settings | {"data": str(settings["data"])}))
    command = ["train", "bootstrap", "--config", str(path), "--run", str(tmp_path / "run")]
    assert main([*command, "--batch", "6"]) == 0
    assert last(tmp_path / "run")["step"] == 2
    assert main([*command, "--batch", "many"]) == 2
    assert "batch" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    for device in ("cuda:99", "tpu"):
        if device.startswith("cuda") and torch.cuda.is_available():
            continue
        with pytest.raises(ConfigError, match=device):
            execute(PHASE, PictureConfig(**epoch_settings(device=device)), tmp_path / device)


def test_weights_of_another_model_are_refused(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    torch.save({"ema": {"other": torch.zeros(3)}, "config": {}}, tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    for name, said in (("other.pt", "of another model"), ("broken.pt", "no checkpoint")):
        config = PictureConfig(**epoch_settings() | {"pretrained": tmp_path / name})
        with pytest.raises(DataError, match=said):
            execute(PHASE, config, tmp_path / f"run-{name}")
