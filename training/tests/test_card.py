"""The card of a bundle says what the bundle holds."""

from __future__ import annotations

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
