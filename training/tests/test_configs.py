"""The configs that are shipped are those that the code takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover_training.chain import Chain, ChainConfig
from windhover_training.config import ModelSpec, QuantisationConfig, ReleaseConfig, load_config
from windhover_training.data.augment.heavy import HeavyAugmentation
from windhover_training.data.convert.split import load_held_out
from windhover_training.data.readers.labels import load_label_map
from windhover_training.engine.model import build_as
from windhover_training.engine.warm_start import read_weights, warm_start
from windhover_training.export.card import CARD_KEYS
from windhover_training.phases.ablation import AblationConfig
from windhover_training.phases.base import check_inputs
from windhover_training.phases.benchmark import BenchmarkConfig
from windhover_training.phases.distill import DistillConfig
from windhover_training.phases.qat import QatConfig
from windhover_training.phases.registry import PHASES, load_phase

pytestmark = pytest.mark.train_env

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / "training/configs"


#: How a config's name begins -> the phase that it is for, or what else it is.
KINDS = {
    "all": "chain",
    "benchmark": "benchmark",
    "bootstrap": "bootstrap",
    "card_": "card",
    "curriculum": "curriculum",
    "distill": "distill",
    "hit_uav_high_split": "split",
    "hit_uav_split": "split",
    "qat_": "qat",
    "release_": "release",
    "rgb_n": "interpolate",
    "rgbt_ablation": "ablation",
    "rgbt_n": "fusion",
    "rgbt_n_interpolated": "interpolate",
    "rgbt_n_labels_mean": "interpolate",
    "rgbt_n_mean": "interpolate",
    "rgbt_n_thermal_mean": "interpolate",
    "rgbt_n_thermal_p4_2_mean": "interpolate",
    "rgbt_n_thermal_p4_mean": "interpolate",
    "rgbt_n_varied_mean": "interpolate",
    "rgbt_n_varied_stock": "interpolate",
    "rgbt_n_weapons": "weapons",
    "second_look": "second-look",
    "teacher": "bootstrap",
    "textures": "textures",
    "thermal_n": "detector",
    "trade_": "trade",
}


def kind_of(file: str) -> str:
    """The kind of a config; the longest beginning of its name counts."""
    return KINDS[max((start for start in KINDS if file.startswith(start)), key=len, default="")]


#: Every config that is shipped; one of no kind is an error here.
SHIPPED = {path.stem: kind_of(path.stem) for path in sorted(CONFIGS.glob("*.yaml"))}


def models_of(config: Any) -> list[ModelSpec]:
    """The models that a phase's config has built."""
    if isinstance(config, QatConfig):
        load_config(config.release, ReleaseConfig)
        return [ModelSpec(model=config.model, labels=["x"])]
    if isinstance(config, AblationConfig):
        kinds = [config.of(kind) for kind in ("rgb", "thermal", "early", "cbam")]
        return [ModelSpec.model_validate(kind.model_dump()) for kind in kinds]
    spec = ModelSpec.model_validate(config.model_dump())
    if isinstance(config, BenchmarkConfig):
        return [spec.model_copy(update={"model": each.model}) for each in config.candidates]
    if isinstance(config, DistillConfig):
        return [spec, spec.model_copy(update={"model": config.teacher_model, "fusion": None})]
    return [spec]


def test_every_phase_has_a_config() -> None:
    assert set(SHIPPED.values()) >= set(PHASES)


@pytest.mark.parametrize(
    ("file", "phase"), [(file, phase) for file, phase in SHIPPED.items() if phase in PHASES]
)
def test_each_config_is_its_phases_and_what_it_names_is_built(
    file: str, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = load_config(CONFIGS / f"{file}.yaml", load_phase(phase).config)
    load_phase(phase).needs(config)
    for spec in models_of(config):
        model = build_as(spec).eval()
        assert sum(weights.numel() for weights in model.parameters()) > 1_000_000
        assert model.model[-1].nc == len(spec.labels)


@pytest.mark.parametrize("file", [file for file, kind in SHIPPED.items() if kind == "release"])
def test_each_release_config_is_one(file: str) -> None:
    config = load_config(CONFIGS / f"{file}.yaml", ReleaseConfig)
    assert config.provenance.keys() >= CARD_KEYS


def test_the_other_configs_are_what_their_readers_take() -> None:
    card = yaml.safe_load((CONFIGS / "card_coco_n.yaml").read_text())
    assert card.keys() == CARD_KEYS
    trades = yaml.safe_load((CONFIGS / "trade_thermal_n.yaml").read_text())
    release = load_config(CONFIGS / "release_thermal_n.yaml", ReleaseConfig)
    for changes in trades.values():
        if "bundle" not in changes:
            QuantisationConfig(**{**release.calibration.model_dump(), **changes})
    for name in ("hit_uav_split", "hit_uav_split_strict"):
        assert {"test"} <= load_held_out(CONFIGS / f"{name}.yaml").keys()


@pytest.mark.parametrize("path", sorted((CONFIGS / "labels").glob("*.yaml")), ids=lambda p: p.stem)
def test_each_label_map_is_one(path: Path) -> None:
    labels = load_label_map(path)
    for category in [*labels.classes, *labels.ids]:
        assert labels.target(category) is not None


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


@pytest.mark.parametrize("name", ["rgbt_n_stock", "second_look", "thermal_n", "thermal_n_3"])
def test_every_set_of_a_released_model_is_in_the_manual_with_its_licence(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    lines = [line.split("#", 1)[0] for line in text.splitlines()]
    used = {
        match[1]
        for line in lines
        for match in re.finditer(r"training/workspace/([\w.]+)\b(?!/)", line)
        if match[1] != "runs"
    }
    assert used
    rows = (REPOSITORY / "docs/guides/train.md").read_text().splitlines()
    cells = [row.split("|") for row in rows if row.startswith("| `")]
    listed = {row[1].strip(" `"): row for row in cells if len(row) == 6}
    missing = sorted(used - listed.keys())
    assert not missing, f"{name}: {missing} in no row of docs/guides/train.md"
    assert all(listed[each][3].strip() for each in used)


def released(config: Any) -> Path | None:
    """The released bundle that a config goes on from."""
    paths = [getattr(config, name, None) for name in ("pretrained", "trained", "start")]
    return next((path for path in paths if path is not None and path.parts[0] == "models"), None)


def test_what_goes_on_from_a_release_takes_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    configs = [
        load_config(CONFIGS / f"{file}.yaml", load_phase(phase).config)
        for file, phase in SHIPPED.items()
        if phase in ("fusion", "interpolate", "detector")
    ]
    begun = [(config, path) for config in configs if (path := released(config)) is not None]
    assert len(begun) >= 4
    for config, path in begun:
        weights = read_weights(path)
        model = build_as(ModelSpec.model_validate(config.model_dump()))
        warm_start(model, weights, range(len(config.labels)))
        kept = {name.split(".")[0] for name in model.state_dict()}
        assert {name.split(".")[0] for name in weights} - {"pixel_scale"} <= kept, config.name
