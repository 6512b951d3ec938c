"""Rendered scenes: thermal and RGB views of one moving world, with exact truth."""

from windhover.sources.scene.camera import Camera, Intrinsics
from windhover.sources.scene.config import (
    PRESETS,
    SCENE_LABELS,
    SceneConfig,
    SceneUri,
    parse_scene_uri,
)
from windhover.sources.scene.scene import Scene, SceneFrame
from windhover.sources.scene.source import SceneSource
from windhover.sources.scene.truth import SceneTruth
from windhover.sources.scene.write import write_scene

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
