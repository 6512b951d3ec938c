"""What each camera and each way to join them brings: ``train ablation``.

RGB alone, thermal alone, four channels into one backbone, and CBAM: the same crops, the same
start, the same short budget, scored on the same held-out scenes by day and by night.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import Field

from windhover.files import write_atomic
from windhover.model import Bundle

from ..config import Strict, load_config
from ..engine.model import load_weights
from ..evaluate.score import score
from ..export.bundle import write_float
from ..export.graph import export_core
from ..fusion_config import FusionConfig
from ..runs import Run
from . import fusion
from .base import Phase, RequiredInput

KINDS: Final = {
    "rgb": "RGB only",
    "thermal": "thermal only",
    "early": "early fusion",
    "cbam": "CBAM at P3",
}
_GROUPS: Final = ("all", "day", "night")


class AblationConfig(Strict):
    """Which run is repeated for each kind, and where it is scored.

    Attributes:
        base: config of ``train fusion``.
        steps: budget of each kind, in place of the base's.
        scored_on: data set and split.
        height: rows of the graph's input.
        width: columns of the graph's input.
        device: auto, cpu, cuda or cuda:N.
    """

    name: str
    base: Path
    steps: int = Field(gt=0)
    scored_on: tuple[Path, str]
    height: int = Field(736, multiple_of=32)
    width: int = Field(1280, multiple_of=32)
    seed: int = 1
    device: str = "auto"

    def of(self, kind: str) -> FusionConfig:
        """The base's config for one kind."""
        settings: dict[str, Any] = {
            "fusion": kind,
            "name": f"{self.name}-{kind}",
            "steps": self.steps,
            "epochs": None,
            "minutes": None,
            "seed": self.seed,
            "device": self.device,
        }
        # A rival of one camera is not to be taught on pictures it can't see.
        if kind == "rgb":
            settings |= {"thermal_share": 0.0, "augmentation.blank_rgb": 0.0}
        if kind == "thermal":
            settings |= {"augmentation.blank_thermal": 0.0}
        return load_config(self.base, FusionConfig, settings)


def float_bundle(checkpoint: Path, out: Path, height: int, width: int) -> Bundle:
    """A bundle of float.onnx alone, for scoring a checkpoint that is not released."""
    model, spec = load_weights(checkpoint)
    return write_float(export_core(model, height, width, spec.channels), spec.labels, out)


def table(scores: dict[str, dict[str, Any]], steps: int) -> str:
    """Markdown: AP50 of each kind, in all, by day and by night."""
    labels = [label for label in scores["cbam"]["all"] if label != "images"]
    head = ["trained on", "images", "mAP50", *labels]
    lines = [
        f"AP50 after {steps} steps each from the same start.",
        "",
        f"| {' | '.join(head)} |",
        f"|---|---|{'---:|' * (len(head) - 2)}",
    ]
    for kind, name in KINDS.items():
        for group in _GROUPS:
            found = scores[kind].get(group)
            if found is None:
                continue
            values = [found[label]["ap50"] if label in found else None for label in labels]
            known = [value for value in values if value is not None]
            cells = ["" if value is None else f"{value:.3f}" for value in values]
            lines.append(
                f"| {name} | {group} | {sum(known) / len(known):.3f} | {' | '.join(cells)} |"
            )
    return "\n".join(lines) + "\n"


def _needs(config: AblationConfig) -> list[RequiredInput]:
    data, split = config.scored_on
    truth = RequiredInput(
        data / "truth" / f"{split}.json", f"windhover-train data render-rgbt --out {data}"
    )
    return [
        RequiredInput(config.base, "the repository"),
        truth,
        *fusion.PHASE.needs(config.of("cbam")),
    ]


def _run(config: AblationConfig, run: Run) -> dict[str, Any] | None:
    scores = {}
    for kind in KINDS:
        folder = run.folder / kind
        final = folder / "final.pt"
        if not final.exists():
            Run(folder).describe(config.of(kind), f"train fusion ({kind})")
            if fusion.run_fusion(config.of(kind), Run(folder)) is None:
                return None
        bundle = float_bundle(final, folder / "bundle", config.height, config.width)
        scores[kind] = score(bundle, "float", *config.scored_on)
    write_atomic(run.folder / "table.md", table(scores, config.steps))
    return scores


PHASE = Phase("train ablation", AblationConfig, _needs, _run)
