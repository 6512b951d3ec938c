"""Run folders: everything that is needed to tell later how a checkpoint came about."""

from __future__ import annotations

import enum
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from windhover.errors import DataError
from windhover.files import atomic_path, write_json

_PACKAGES = ("torch", "torchvision", "ultralytics", "numpy", "opencv-python", "onnx")


class RunState(enum.Enum):
    """Where a run stands."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


class Run:
    """A folder with config, environment, git revision, log, checkpoints and metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Newest resumable state."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """Weights that did best on the validation images; what the next phase takes."""
        return self.folder / "best.pt"

    def describe(self, config: BaseModel, command: str = "") -> None:
        """Write ``config.json`` and ``environment.json``."""
        write_json(self.folder / "config.json", config.model_dump(mode="json"), digits=12)
        facts = {**environment(), "command": command, "seed": getattr(config, "seed", None)}
        write_json(self.folder / "environment.json", facts)

    def described(self) -> dict[str, Any] | None:
        """The config that this run began with, or None if it has not begun."""
        config: dict[str, Any] | None = self.read("config.json")
        return config

    def state(self) -> RunState | None:
        """Where the run stands, or None if it has not begun."""
        found = self.read("state.json")
        return None if found is None else RunState(found["state"])

    def set_state(self, state: RunState, command: str) -> None:
        """Write ``state.json``."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_json(
            self.folder / "state.json", {"state": state.value, "command": command, "since": now}
        )

    def log(self, row: dict[str, Any]) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.folder / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write ``metrics.json``."""
        write_json(self.folder / "metrics.json", metrics)

    def metrics(self) -> dict[str, Any] | None:
        """What a finished run measured."""
        metrics: dict[str, Any] | None = self.read("metrics.json")
        return metrics

    def save(self, state: dict[str, Any], name: str = "last.pt") -> Path:
        """Replace a checkpoint in one step, so that a stop never leaves half a file."""
        import torch

        path = self.folder / name
        with atomic_path(path) as partial:
            torch.save(state, partial)
        return path

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint, or None if the run has none yet.

        Raises:
            DataError: it is damaged.
        """
        import torch

        if not self.checkpoint.exists():
            return None
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=False)
        except Exception as error:  # whatever unpickling a damaged file raises
            raise DataError(
                f"{self.checkpoint} is damaged ({error}); --force starts the run again"
            ) from error
        found: dict[str, Any] = state
        return found

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run atomically."""
        write_json(self.folder / name, value)

    def read(self, name: str) -> Any:
        """Read a JSON file of the run, or None if there is none.

        Raises:
            DataError: it is damaged.
        """
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DataError(
                f"{self.folder / name} is damaged ({error}); use another run folder"
            ) from error


def environment() -> dict[str, Any]:
    """Versions, machine and git revision of this run."""
    here = Path(__file__).parent
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "git": _git(here, "rev-parse", "HEAD") or None,
        "git_changes": bool(_git(here, "status", "--porcelain", "--untracked-files=no")),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _git(where: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=where, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
