"""``run all``: steps in turn, passed over when finished, checked before the first begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover.command_line import INTERRUPTED
from windhover.errors import ConfigError, DataError
from windhover_training import chain as chain_module
from windhover_training.chain import Chain, ChainConfig
from windhover_training.cli import main
from windhover_training.engine.model import load_weights
from windhover_training.runs import Run, RunState

pytestmark = pytest.mark.train_env


class Commands:
    """Stands for the command line: notes what it is asked and makes what is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.status = 0

    def __call__(self, arguments: Sequence[str]) -> int:
        self.asked.append(list(arguments))
        if not self.status:
            Path(arguments[2]).write_text("made")
        return self.status


@pytest.fixture
def values(epoch_settings: Callable[..., dict], tmp_path: Path) -> dict:
    """A data command, a bootstrap and a curriculum that starts from its weights."""
    settings = epoch_settings(epochs=1, batch=6) | {"data": str(epoch_settings()["data"])}
    (tmp_path / "bootstrap.yaml").write_text(yaml.safe_dump(settings))
    stages = [{"stage": "easy", "epochs": 1, "lr0": 0.001}]
    later = settings | {"stages": stages, "pretrained": "to be set"}
    (tmp_path / "curriculum.yaml").write_text(yaml.safe_dump(later))
    steps = [
        {
            "name": "data",
            "command": ["data", "convert", str(tmp_path / "set")],
            "makes": [str(tmp_path / "set")],
        },
        {"name": "base", "phase": "bootstrap", "config": str(tmp_path / "bootstrap.yaml")},
        {
            "name": "full",
            "phase": "curriculum",
            "config": str(tmp_path / "curriculum.yaml"),
            "set": {"pretrained": "{base}/best.pt", "lr0": 0.002},
        },
    ]
    return {"name": "tiny", "folder": str(tmp_path / "chain"), "steps": steps}


def test_a_chain_ends_with_the_last_phases_weights_and_one_report(
    values: dict, tmp_path: Path
) -> None:
    commands, said = Commands(), []
    chain = Chain(ChainConfig(**values), commands)
    assert [chain.state(step) for step in chain.config.steps] == ["not begun"] * 3
    assert chain.run(say=said.append)
    load_weights(tmp_path / "chain/full/best.pt")
    assert Run(tmp_path / "chain/full").described()["pretrained"] == str(
        tmp_path / "chain/base/best.pt"
    )
    report = Run(tmp_path / "chain").read("report.json")
    assert report["metrics"].keys() == {"base", "full"}
    assert "map50" in report["metrics"]["full"]["val"]
    # The same command does nothing a second time.
    assert Chain(ChainConfig(**values), commands).run(say=said.append)
    assert said[-3:] == ["data: finished before", "base: finished before", "full: finished before"]
    assert len(commands.asked) == 1


def test_a_chain_goes_on_where_it_stopped(
    values: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    real = chain_module.execute

    def stopping(phase, config, folder, *, force):
        begun.append(folder.name)
        if begun == ["base", "full"]:
            return False
        return real(phase, config, folder, force=force)

    monkeypatch.setattr(chain_module, "execute", stopping)
    commands = Commands()
    assert not Chain(ChainConfig(**values), commands).run()
    assert Chain(ChainConfig(**values), commands).run()
    assert begun == ["base", "full", "full"]
    assert len(commands.asked) == 1


def test_from_does_a_step_and_all_after_it_again(values: dict, tmp_path: Path) -> None:
    commands = Commands()
    Chain(ChainConfig(**values), commands).run()
    marks = {name: tmp_path / "chain" / name / "mark" for name in ("base", "full")}
    for mark in marks.values():
        mark.touch()
    commands.status = INTERRUPTED
    assert not Chain(ChainConfig(**values), commands).run("data")
    assert commands.asked[-1][-1] == "--force"
    # What follows is not taken for finished, though nobody says --from again.
    states = Chain(ChainConfig(**values), commands)
    assert [states.state(step) for step in states.config.steps] == ["not begun"] * 3
    commands.status = 0
    assert Chain(ChainConfig(**values), commands).run()
    assert not any(mark.exists() for mark in marks.values())
    with pytest.raises(ConfigError, match="no step 'weapons'"):
        Chain(ChainConfig(**values), commands).run("weapons")


def test_a_failed_command_stops_the_chain_and_is_named(values: dict, tmp_path: Path) -> None:
    commands = Commands()
    commands.status = 2
    with pytest.raises(DataError, match="step data failed: windhover-train data convert"):
        Chain(ChainConfig(**values), commands).run()
    assert not (tmp_path / "chain/base").exists()
    commands.status = 0
    values["steps"][0]["makes"].append(str(tmp_path / "more"))
    with pytest.raises(DataError, match="did not make"):
        Chain(ChainConfig(**values), commands).run()


def test_a_command_with_other_arguments_is_done_again(values: dict, tmp_path: Path) -> None:
    commands = Commands()
    Chain(ChainConfig(**values), commands).run()
    values["steps"][0]["command"].append("--more")
    chain = Chain(ChainConfig(**values), commands)
    assert chain.state(chain.config.steps[0]) == "not begun"
    assert chain.state(chain.config.steps[1]) == RunState.FINISHED.value
    assert chain.run()
    assert commands.asked[-1][-2:] == ["--more", "--force"]


@pytest.mark.parametrize(
    ("step", "change", "said"),
    [
        (0, {"phase": "bootstrap"}, "either a phase or a command"),
        (0, {"makes": []}, "needs 'makes'"),
        (1, {"phase": "steer"}, "no phase 'steer'"),
        (1, {"config": None}, "needs the config"),
        (1, {"name": "data"}, "data stands twice"),
        (1, {"config": "nowhere.yaml"}, "can't be read"),
        (1, {"set": {"epochs": 0}}, "epochs"),
        (2, {"set": {"pretrained": "{later}/best.pt"}}, "names 'later'"),
        (1, {"set": {"pretrained": "{full}/best.pt"}}, "names 'full'"),
    ],
)
def test_everything_is_checked_before_the_first_step(
    values: dict, tmp_path: Path, capsys, step: int, change: dict, said: str
) -> None:
    values["steps"][step] |= change
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["run", "all", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_the_plan_is_listed_without_doing_anything(values: dict, tmp_path: Path, capsys) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["run", "all", "--config", str(path), "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["data", "base", "full"]
    assert [line.split()[1:] for line in lines] == [
        ["data", "convert", "not", "begun"],
        ["bootstrap", "not", "begun"],
        ["curriculum", "not", "begun"],
    ]
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / "chain").exists()
