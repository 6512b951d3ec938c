"""Go on with a fusion model on weapons: cut-outs pasted at the altitude's scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windhover.errors import ConfigError

from ..fusion_config import FusionConfig
from ..runs import Run
from . import fusion
from .base import Phase


def _run(config: FusionConfig, run: Run) -> Mapping[str, Any] | None:
    if config.cutouts is None:
        raise ConfigError("train weapons pastes cut-outs: name their folder under 'cutouts'")
    return fusion.PHASE.run(config, run)


PHASE = Phase("train weapons", FusionConfig, fusion.PHASE.needs, _run)
