"""What every phase has in common: inputs, run folders, finished runs, --force, --set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

from windhover.errors import ConfigError, DataError
from windhover_training.cli.phase import settings_of
from windhover_training.config import Strict, load_config
from windhover_training.detector_config import DetectorConfig
from windhover_training.phases.base import Phase, RequiredInput, execute
from windhover_training.phases.registry import PHASES, load_phase
from windhover_training.runs import Run, RunState

pytestmark = pytest.mark.train_env


class Config(Strict):
    source: Path
    target: Path
    seed: int = 3
    stop: bool = False
    checkpoint_seconds: float = 60


def run(config: Config, run: Run) -> dict[str, Any] | None:
    with (run.folder / "work").open("a") as stream:
        stream.write("x")
    if config.checkpoint_seconds < 60:
        return None
    config.target.write_text("made")
    return {"score": 0.5}


PHASE = Phase(
    "train example",
    Config,
    lambda c: [RequiredInput(c.source, "windhover-train data convert")],
    run,
    lambda c: [c.target],
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "source").mkdir()
    return Config(source=tmp_path / "source", target=tmp_path / "target")


def test_a_missing_input_is_named_with_the_command_that_makes_it(config: Config, tmp_path) -> None:
    config.source.rmdir()
    with pytest.raises(DataError, match=r"source \(made by: windhover-train data convert\)"):
        execute(PHASE, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_says_how_the_run_came_about(config: Config, tmp_path: Path) -> None:
    assert execute(PHASE, config, tmp_path / "run")
    folder = Run(tmp_path / "run")
    assert folder.described() == config.model_dump(mode="json")
    facts = json.loads((tmp_path / "run/environment.json").read_text())
    assert facts["seed"] == 3
    assert facts["command"] == "train example"
    assert facts["git"] is None or len(facts["git"]) == 40
    assert folder.metrics() == {"score": 0.5}
    assert folder.state() is RunState.FINISHED


def test_a_stopped_run_goes_on_and_a_finished_one_is_left_alone(config: Config, tmp_path) -> None:
    stopping = config.model_copy(update={"checkpoint_seconds": 1.0})
    assert not execute(PHASE, stopping, tmp_path / "run")
    assert Run(tmp_path / "run").state() is RunState.STOPPED
    assert execute(PHASE, config, tmp_path / "run")
    assert (tmp_path / "run/work").read_text() == "xx"
    with pytest.raises(ConfigError, match="finished run"):
        execute(PHASE, config, tmp_path / "run")
    assert execute(PHASE, config, tmp_path / "run", force=True)
    assert (tmp_path / "run/work").read_text() == "x"


def test_a_run_with_another_config_is_not_gone_on_with(config: Config, tmp_path: Path) -> None:
    execute(PHASE, config.model_copy(update={"checkpoint_seconds": 1.0}), tmp_path / "run")
    with pytest.raises(ConfigError, match="another seed"):
        execute(PHASE, config.model_copy(update={"seed": 4}), tmp_path / "run")


def test_what_is_no_run_is_never_removed(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run folder"):
        execute(PHASE, config, tmp_path)
    with pytest.raises(ConfigError, match="leaves it alone"):
        execute(PHASE, config, tmp_path, force=True)
    assert config.source.is_dir()


def test_what_exists_is_not_written_over(config: Config, tmp_path: Path) -> None:
    config.target.write_text("kept")
    with pytest.raises(ConfigError, match="target exists"):
        execute(PHASE, config, tmp_path / "run")
    assert config.target.read_text() == "kept"
    assert execute(PHASE, config, tmp_path / "run", force=True)


def test_settings_take_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "{name: a, labels: [x], data: d, class_weights: [1], steps: 4, rates: {head: 0.1}}"
    )
    found = load_config(path, DetectorConfig, settings_of(["rates.head=0.2", "seed=7"]))
    assert (found.rates.head, found.steps, found.seed) == (0.2, 4, 7)
    for wrong, said in (["seed"], "KEY=VALUE"), (["seed=["], "not YAML"):
        with pytest.raises(ConfigError, match=said):
            settings_of(wrong)
    with pytest.raises(ConfigError, match="not inside a mapping"):
        load_config(path, DetectorConfig, {"name.b": 1})


def test_the_registry_and_the_phases_agree() -> None:
    for name, entry in PHASES.items():
        phase = load_phase(name)
        assert phase.command == entry.command
        assert {"seed"} <= phase.config.model_fields.keys()
    with pytest.raises(ConfigError, match="no phase"):
        load_phase("steer")
