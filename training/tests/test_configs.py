"""The configs that are shipped are those that the code takes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover_training.chain import Chain, ChainConfig
from windhover_training.config import ReleaseConfig, load_config
from windhover_training.data.augment.heavy import HeavyAugmentation
from windhover_training.phases.base import check_inputs
from windhover_training.phases.registry import load_phase

pytestmark = pytest.mark.train_env

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / "training/configs"


@pytest.mark.parametrize(
    ("file", "phase"),
    [
        ("benchmark", "benchmark"),
        ("bootstrap", "bootstrap"),
        ("teacher", "bootstrap"),
        ("curriculum", "curriculum"),
        ("distill", "distill"),
        ("thermal_n", "thermal-n"),
        ("thermal_n_2", "thermal-n"),
        ("rgbt_n", "fusion"),
        ("rgbt_n_stock", "fusion"),
        ("qat_rgbt_n", "qat"),
        ("rgbt_n_weapons", "weapons"),
        ("qat_all", "qat"),
    ],
)
def test_each_config_is_its_phases(file: str, phase: str) -> None:
    load_config(CONFIGS / f"{file}.yaml", load_phase(phase).config)


def test_the_chain_names_every_phase_in_an_order_that_can_be_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = load_config(CONFIGS / "all.yaml", ChainConfig)
    Chain(config, lambda arguments: 0)
    used = {step.phase for step in config.steps} - {None}
    assert used >= {"benchmark", "bootstrap", "curriculum", "fusion", "weapons", "distill", "qat"}


def test_the_chain_releases_what_its_phases_make() -> None:
    config = load_config(CONFIGS / "all.yaml", ChainConfig)
    release = load_config(CONFIGS / "release_all.yaml", ReleaseConfig)
    assert [step.name for step in config.steps][-3:] == ["distill", "qat", "release"]
    assert release.checkpoint == config.folder / "distill/best.pt"
    assert release.quantised == config.folder / "qat/bundle/int8.onnx"


def test_what_a_phase_lacks_is_named_with_a_command_that_exists(tmp_path: Path) -> None:
    from typer.main import get_command

    from windhover_training.cli import app

    for name in ("bootstrap", "curriculum", "distill", "benchmark"):
        phase = load_phase(name)
        file = CONFIGS / f"{name}.yaml"
        config = load_config(file, phase.config, {"data": tmp_path / "nothing"})
        with pytest.raises(Exception, match="made by: windhover-train data convert"):
            check_inputs(phase, config)
        for need in phase.needs(config):
            words = need.made_by.removeprefix("windhover-train ").split()
            command = get_command(app).commands[words[0]]
            assert words[1] in command.commands, need.made_by


def test_the_guides_augmentation_is_the_default() -> None:
    written = yaml.safe_load((CONFIGS / "bootstrap.yaml").read_text())["augmentation"]
    assert HeavyAugmentation(**written) == HeavyAugmentation()
