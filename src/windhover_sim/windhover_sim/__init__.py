"""Rendered scenes: thermal and RGB views of one moving world, with exact truth."""

from windhover_sim.camera import Camera, Intrinsics
from windhover_sim.config import (
    PRESETS,
    SCENE_LABELS,
    SceneConfig,
    SceneUri,
    parse_scene_uri,
)
from windhover_sim.scene import Scene, SceneFrame
from windhover_sim.source import SceneSource
from windhover_sim.truth import SceneTruth
from windhover_sim.write import write_scene

__all__ = [
    "PRESETS",
    "SCENE_LABELS",
    "Camera",
    "Intrinsics",
    "Scene",
    "SceneConfig",
    "SceneFrame",
    "SceneSource",
    "SceneTruth",
    "SceneUri",
    "parse_scene_uri",
    "write_scene",
]
