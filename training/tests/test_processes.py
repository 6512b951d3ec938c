"""Several processes that train one model: torchrun's, on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover.errors import ConfigError
from windhover_training.cli import main
from windhover_training.engine import model as engine_model
from windhover_training.engine.model import choose_device
from windhover_training.engine.place import Place, place
from windhover_training.engine.settings import Share

pytestmark = pytest.mark.train_env

TRAIN = ["windhover_training.cli", "train", "bootstrap"]
TORCHRUN = ["torch.distributed.run", "--nproc-per-node=2", "-m", "--"]


def environment() -> dict[str, str]:
    """This process's, for children that import what it imports, on one thread each."""
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def config(epoch_settings: Callable[..., dict[str, Any]], tmp_path: Path) -> Path:
    """Two steps of four images without a warm-up."""
    settings = epoch_settings(epochs=None, steps=2, warmup_steps=0, warmup_epochs=None)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings | {"data": str(settings["data"]), "val_images": 1}))
    return path


def test_two_processes_give_the_gradients_of_one(config: Path, tmp_path: Path) -> None:
    own = ["--config", str(config), "--run"]
    alone = [*TRAIN, *own, str(tmp_path / "one"), "--set", "batch=2", "--set", "accumulate=2"]
    for arguments in (alone, [*TORCHRUN, *TRAIN, *own, str(tmp_path / "two")]):
        done = run(arguments)
        assert done.returncode == 0, done.stderr
    one, two = (
        torch.load(tmp_path / name / "last.pt", weights_only=False) for name in ("one", "two")
    )
    assert one["step"] == two["step"] == 2
    moments = [state["optimiser"]["state"] for state in (one, two)]
    assert moments[0].keys() == moments[1].keys()
    for number, first in moments[0].items():
        # AdamW's first moment is a mean of the gradients; 1e-5 of the largest is rounding.
        mine, theirs = first["exp_avg"], moments[1][number]["exp_avg"]
        limit = 1e-5 * float(mine.abs().max()) + 1e-9
        torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=limit)
    # Only the first wrote, and what it kept is complete.
    assert {"best.pt", "final.pt", "metrics.json"} <= {p.name for p in (tmp_path / "two").iterdir()}


MEETING = """
import sys
from pathlib import Path
import torch
from windhover_training.engine.processes import help_leader, run_distributed, together

def work(rank):
    torch.optim.AdamW(torch.nn.Linear(2, 2).parameters()).zero_grad()

with together() as here:
    run_distributed(work, 0) if here.rank == 0 else help_leader()
threads = {p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")}
sys.exit(str(threads) if any("gloo" in name for name in threads) else 0)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are named in Linux only")
def test_no_thread_of_the_group_outlives_the_meeting(tmp_path: Path) -> None:
    # One that does may abort a finished run while its interpreter ends.
    script = tmp_path / "meeting.py"
    script.write_text(MEETING)
    done = run(["torch.distributed.run", "--nproc-per-node=2", str(script)])
    assert done.returncode == 0, done.stderr


def test_what_goes_wrong_in_the_processes_is_one_line(config: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    command = [*TRAIN, "--config", str(config), "--run", str(tmp_path / "run")]
    done = run([*command, f"--set=pretrained={tmp_path / 'broken.pt'}", "--nproc-per-node=2"])
    assert done.returncode == 2, done.stderr
    assert "broken.pt is no checkpoint" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nproc-per-node=many"], "many"),
        (["--nnodes=2"], "needs --nproc-per-node"),
        (["--set=val=nowhere", "--nproc-per-node=2"], "made by"),
        (["--set=processes=2"], "processes is now --nproc-per-node"),
    ],
)
def test_what_is_wrong_before_is_told_before(
    config: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    before = dict(os.environ)
    assert main(["train", "bootstrap", "--config", str(config), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1, error
    assert dict(os.environ) == before


def test_a_step_is_not_shared_by_more_processes_than_images() -> None:
    with pytest.raises(ConfigError, match="can't be shared by 2 processes"):
        Share(1, 0, 2)


@pytest.mark.parametrize(("name", "where"), [("auto", "cuda:1"), ("cuda", "cuda:1")])
def test_each_process_has_a_gpu_of_its_own(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_model, "gpu_count", lambda: 2)
    for key, value in (("RANK", 3), ("WORLD_SIZE", 4), ("LOCAL_RANK", 1), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(key, str(value))
    assert place() == Place(rank=3, processes=4, local_rank=1, local_processes=2)
    assert str(choose_device(name)) == where
    with pytest.raises(ConfigError, match="is one for 4 processes"):
        choose_device("cuda:0")
    monkeypatch.setattr(engine_model, "gpu_count", lambda: 1)
    with pytest.raises(ConfigError, match="this machine has cuda:0"):
        choose_device("cuda")


def test_sigterm_ends_all_processes_with_a_checkpoint(config: Path, tmp_path: Path) -> None:
    command = [*TRAIN, "--config", str(config), "--run", str(tmp_path / "run")]
    command += ["--set=steps=100000", "--nproc-per-node=2"]
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        # Its first line of progress says that both processes are in the loop.
        assert process.stdout is not None
        next(line for line in process.stdout if "box_loss" in line)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "stopped after" in output
    assert "run the same command to go on" in output
    state = torch.load(tmp_path / "run/last.pt", weights_only=False)
    assert state["step"] > 0
    assert all(torch.isfinite(w).all() for w in state["ema"].values())
