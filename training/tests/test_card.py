"""The card of a bundle says what the bundle holds."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

from windhover.model import Bundle
from windhover_training.export.card import write_card

pytestmark = pytest.mark.train_env

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("folder", sorted(each.parent for each in MODELS.glob("*/bundle.yaml")))
def test_a_released_card_is_that_of_its_bundle(folder: Path, tmp_path: Path) -> None:
    """A score that was NaN is null in the bundle."""
    write_card(Bundle.load(folder), tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == (folder / "README.md").read_text()


def test_a_figure_that_is_null_is_an_empty_cell(tmp_path: Path) -> None:
    """Every figure that can be NaN when it is measured."""
    bundle = Bundle.load(MODELS / "thermal-n")
    provenance = copy.deepcopy(bundle.provenance)
    of_set = provenance["metrics"]["HIT-UAV, held-out flights"]
    label = of_set["float"]["all"]["person"]
    label["ap50"] = label["ap50_95"] = None
    of_set["int8"]["all"]["person"] |= {"ap50": float("nan"), "ap50_95": None}
    for row in provenance["fidelity"]["sets"]["HIT-UAV, held-out flights"].values():
        row["map50"] = None
        if "mean_iou" in row:
            row["mean_iou"] = None
    write_card(bundle.model_copy(update={"provenance": provenance}), tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text()
    assert f"| all | person | {label['boxes']} |  |  |  |  |" in card
    assert "None" not in card
    assert "nan" not in card.split()
