"""Run folders: everything that is needed to tell later how a checkpoint came about."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

_PACKAGES = ("torch", "torchvision", "ultralytics", "numpy", "opencv-python", "onnx")


class Run:
    """A folder with config, environment, git revision, log, checkpoints and metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Newest resumable state."""
        return self.folder / "last.pt"

    def describe(self, config: BaseModel) -> None:
        """Write ``config.json`` and ``environment.json``."""
        self._write("config.json", config.model_dump(mode="json"))
        self._write("environment.json", environment())

    def log(self, row: dict[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.folder / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write ``metrics.json``."""
        self._write("metrics.json", metrics)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint in one step, so that a stop never leaves half a file."""
        partial = self.folder / "last.pt.partial"
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint, or None if the run has none yet."""
        if not self.checkpoint.exists():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, weights_only=False)
        return state

    def _write(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def environment() -> dict[str, Any]:
    """Versions, machine and git revision of this run."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "git": revision.stdout.strip() or None,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
