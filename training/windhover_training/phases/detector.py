"""Train a detector on converted data, with rendered scenes mixed in where configured."""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ..config import TrainConfig
from ..data.crops import CropSampler, load_samples
from ..engine.loop import Crop, DrawBatch, train
from ..engine.model import build_model
from ..runs import Run
from .base import Needed, Phase

# A peer may be stopped for as long as someone needs the machine for something else.
_PATIENCE = dt.timedelta(hours=24)


def make_draw(config: TrainConfig, rank: int = 0) -> DrawBatch:
    """Build the function that draws a step's crops from the seed and the step alone.

    Args:
        config: the run's settings.
        rank: process that draws; each gets its own share of the batch.
    """
    pools = [(1.0 - config.rendered.share, config.data, config.splits)]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pools.append((config.rendered.share, config.rendered.pool, ["train"]))
    samplers = [
        CropSampler(
            load_samples(root, splits),
            config.crop,
            config.class_weights,
            config.augmentation,
            np.random.default_rng(config.seed),
        )
        for _, root, splits in pools
    ]
    batch = config.optimisation.batch // config.processes
    rendered = round(batch * config.rendered.share) if len(samplers) > 1 else 0

    def draw(step: int) -> list[Crop]:
        rng = np.random.default_rng((config.seed, step, rank))
        for sampler in samplers:
            sampler.rng = rng
        return [samplers[int(i < rendered)].draw() for i in range(batch)]

    return draw


def run_detector(config: TrainConfig, folder: Path) -> Path | None:
    """Run the phase to its end, or go on with it.

    Args:
        config: the phase's settings.
        folder: run folder.

    Returns:
        Path of ``final.pt``: the averaged weights and what is needed to rebuild the model.
        None if the run was asked to stop; it goes on from its checkpoint when run again.
    """
    if config.processes == 1:
        return _train(config, folder, 0)
    with tempfile.TemporaryDirectory() as meeting:
        store = f"file://{meeting}/store"
        # This process is rank 0, so a signal to it pauses or ends the whole run.
        peers = [
            mp.get_context("spawn").Process(
                target=_join, args=(config, folder, rank, store), daemon=True
            )
            for rank in range(1, config.processes)
        ]
        for peer in peers:
            peer.start()
        final = _join(config, folder, 0, store)
        for peer in peers:
            peer.terminate() if final is None else peer.join()
        return final


def _join(config: TrainConfig, folder: Path, rank: int, store: str) -> Path | None:
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=config.processes, timeout=_PATIENCE
    )
    try:
        return _train(config, folder, rank)
    finally:
        dist.destroy_process_group()


def _train(config: TrainConfig, folder: Path, rank: int) -> Path | None:
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    random.seed(config.seed)
    np.random.seed(config.seed)  # noqa: NPY002 (what libraries draw from)
    model = build_model(config.model, config.channels, len(config.labels))
    if config.init is not None:
        model.load_state_dict(torch.load(config.init, weights_only=False)["ema"])
    draw = make_draw(config, rank)
    run = Run(folder)
    averaged = train(model, draw, config.optimisation, run, config.checkpoint_seconds)
    if averaged is None:
        return None
    final = folder / "final.pt"
    torch.save({"ema": averaged.state_dict(), "config": config.model_dump(mode="json")}, final)
    return final


def _needs(config: TrainConfig) -> list[Needed]:
    truths = [config.data / "truth" / f"{split}.json" for split in config.splits]
    needs = [Needed(path, f"windhover-train data convert --out {config.data}") for path in truths]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pool = config.rendered.pool
        needs.append(Needed(pool / "truth/train.json", f"windhover-train data render --out {pool}"))
    if config.init is not None:
        needs.append(Needed(config.init, "the phase before, see its config"))
    return needs


def _run(config: TrainConfig, run: Run) -> dict[str, Any] | None:
    final = run_detector(config, run.folder)
    return None if final is None else {"checkpoint": final.name}


PHASE = Phase("train thermal-n", TrainConfig, _needs, _run)
