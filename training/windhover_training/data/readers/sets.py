"""The data sets that can be converted: how each is read and what its classes become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers import (
    au_air,
    coco,
    hit_uav,
    kust4k,
    visdrone,
    vt_mot,
    yolo_text,
)
from windhover_training.data.readers.labels import CONFIGS, IGNORED, LabelMap, load_label_map
from windhover_training.data.readers.records import RawFrame

Reader = Callable[[Path, Summary], Iterator[RawFrame]]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set.

    Attributes:
        name: as the command line has it.
        read: yields its frames as published.
        credit: whom to name wherever a result or a model uses it.
    """

    name: str
    read: Reader
    credit: str

    def label_map(self, path: Path | None, frames: list[RawFrame]) -> LabelMap:
        """The label map of ``path``, else the set's own in configs/labels.

        Raises:
            ConfigError: the file can't be read or is no label map.
        """
        if path is not None:
            return load_label_map(path)
        if self.read is coco.read:
            return _own_names(frames)
        return load_label_map(CONFIGS / f"{self.name.replace('-', '_')}.yaml")


def _own_names(frames: list[RawFrame]) -> LabelMap:
    """Labels that are the file's own categories."""
    names = sorted({str(b.category) for f in frames for b in f.boxes} - {coco.CROWD})
    classes = {name: name for name in names} | {coco.CROWD: IGNORED}
    return LabelMap(labels=names or ["object"], classes=classes)


SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet("vt-mot", vt_mot.read, "VT-MOT (Zhu et al., Pattern Recognition 2025)"),
        DataSet("kust4k", kust4k.read, "KUST4K (Scientific Data 2025, 10.1038/s41597-025-05994-7)"),
        DataSet("hit-uav", hit_uav.read, "HIT-UAV (Suo et al., Scientific Data 2023), CC BY 4.0"),
        DataSet("au-air", au_air.read, "AU-AIR (Bozcan & Kayacan, ICRA 2020)"),
        DataSet("visdrone", visdrone.read, "VisDrone (Zhu et al., IEEE TPAMI 2021)"),
        DataSet(
            "soap",
            yolo_text.read,
            "Small Object Aerial Person Detection (Makrigiorgis et al. 2023), CC BY 4.0",
        ),
        DataSet("yolo", yolo_text.read, "as its publisher says"),
        DataSet("coco", coco.read, "as its publisher says"),
    )
}
