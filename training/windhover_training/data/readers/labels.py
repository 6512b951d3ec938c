"""Label maps: which published class becomes which label of ours (YAML in configs/labels)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from windhover_evaluation.detection.categories import name_key
from windhover_training.config import Strict, load_config
from windhover_training.data.readers.records import IGNORE

#: What a class may become besides a label.
IGNORED, DROPPED = "ignore", "drop"

CONFIGS = Path(__file__).parents[3] / "configs" / "labels"


class LabelMap(Strict):
    """How one data set's classes are read.

    Attributes:
        labels: of the converted set, in the order of its class ids.
        ids: number -> published name, for sets whose files hold numbers only.
        classes: published name -> a label, ``ignore`` (a region that is neither taught nor
            scored) or ``drop`` (left out, and counted).
        unlisted: what a class that ``classes`` does not name becomes; without it such a
            class is unknown: counted, listed and left out.
    """

    labels: list[str] = Field(min_length=1)
    ids: dict[int, str] = Field(default_factory=dict)
    classes: dict[str, str]
    unlisted: str | None = None

    @model_validator(mode="after")
    def _targets_exist(self) -> LabelMap:
        known = {*self.labels, IGNORED, DROPPED}
        for name, target in [*self.classes.items(), ("unlisted", self.unlisted)]:
            if target is not None and target not in known:
                raise ValueError(f"{name} becomes {target!r}, which is none of {sorted(known)}")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label stands twice")
        return self

    def name(self, category: str | int) -> str:
        """The published name of a class that a file gives by name or number."""
        return self.ids.get(category, str(category)) if isinstance(category, int) else category

    def target(self, category: str | int) -> str | None:
        """A label, ``ignore`` or ``drop``; ``None`` for an unknown class.

        Names are compared as evaluation compares them: without case, spaces and plural.
        """
        name = self.name(category)
        if name in self.classes:
            return self.classes[name]
        alike = {name_key(own): target for own, target in self.classes.items()}
        return alike.get(name_key(name), self.unlisted)

    def class_id(self, target: str) -> int:
        """Index of a label, or :data:`~.records.IGNORE`."""
        return IGNORE if target == IGNORED else self.labels.index(target)


def load_label_map(path: Path) -> LabelMap:
    """Read a label map.

    Raises:
        ConfigError: the file can't be read, or a class becomes something that is no label.
    """
    return load_config(path, LabelMap)
