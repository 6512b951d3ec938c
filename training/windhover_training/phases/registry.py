"""Which phases there are. A phase's module is imported when it is asked for, not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windhover.errors import ConfigError

from .base import Phase


@dataclass(frozen=True)
class Entry:
    """A line of the registry.

    Attributes:
        command: as it is typed after ``windhover-train``; the phase's own says the same.
        module: of this package; its ``PHASE`` is the phase.
        help: one sentence for ``--help``.
    """

    command: str
    module: str
    help: str


#: By the name that a chain's config uses.
PHASES: Mapping[str, Entry] = {
    "benchmark": Entry(
        "benchmark", "benchmark", "Train small detectors alike and keep those within the budget."
    ),
    "bootstrap": Entry(
        "train bootstrap", "bootstrap", "Train a base detector with heavy augmentation."
    ),
    "curriculum": Entry(
        "train curriculum", "curriculum", "Train easy objects first, then all, then hard negatives."
    ),
    "distill": Entry(
        "train distill", "distill", "Train a detector towards a large one's feature maps."
    ),
    "qat": Entry("train qat", "qat", "Train on with every tensor rounded as the HTP rounds it."),
    "detector": Entry(
        "train detector", "detector", "Train a detector of one camera on crops at native scale."
    ),
    "fusion": Entry(
        "train fusion", "fusion", "Train the RGB + thermal detector, or a rival of it."
    ),
    "ablation": Entry(
        "train ablation", "ablation", "Compare RGB, thermal, early fusion and CBAM on one budget."
    ),
    "second-look": Entry(
        "train second-look", "second_look", "Train what finds weapons in chips of people."
    ),
    "interpolate": Entry(
        "train interpolate", "interpolate", "Mix a trained model's weights with stock's."
    ),
    "weapons": Entry(
        "train weapons", "weapons", "Go on with a fusion model on pasted weapons of real outline."
    ),
}


#: Names that phases had in the version before -> what they are called now.
FORMER_NAMES: Mapping[str, str] = {"thermal-n": "detector"}


def load_phase(name: str) -> Phase[Any]:
    """Import a phase by its name.

    Raises:
        ConfigError: there is no such phase.
    """
    if name not in PHASES:
        raise ConfigError(f"no phase {name!r}; there are {', '.join(PHASES)}")
    module = importlib.import_module(f"{__package__}.{PHASES[name].module}")
    phase: Phase[Any] = module.PHASE
    return phase
