"""``windhover-train export``, ``verify`` and ``release``: from a checkpoint to a bundle."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError
from windhover.model.bundle import MANIFEST_NAME

from ..config import LabelledSplit, ReleaseConfig, load_config
from ..outputs import new_folder
from .import_model import scored_on
from .paths import WORKSPACE
from .phase import Setting, settings_of

app = typer.Typer(no_args_is_help=True, help="Export graphs of a trained model.")

ReleaseFile = Annotated[Path, typer.Option("--config", help="release config, YAML")]
Out = Annotated[Path, typer.Option("--out", help="bundle folder")]
Force = Annotated[bool, typer.Option("--force", help="replace an earlier bundle")]
#: What tells a folder with a comparison of float, INT8 and HTP.
VERIFIED = "verify.json"


@app.command("onnx")
def export_onnx(
    config: ReleaseFile, out: Out, force: Force = False, settings: Setting = None
) -> None:
    """Write float.onnx, int8.onnx and a manifest with default thresholds and no metrics."""
    from ..phases.release import export

    wanted = _read(config, settings)
    with new_folder(out, force=force, mark=MANIFEST_NAME) as part:
        bundle = export(wanted, part)
    typer.echo(f"wrote {out} ({bundle.digest})")


@app.command("dlc")
def export_dlc(
    out: Out,
    soc: Annotated[str, typer.Option(help="chip to compile for, such as qcs8550")] = "qcs8550",
    force: Annotated[bool, typer.Option("--force", help="build again what is there")] = False,
) -> None:
    """Build int8.dlc and the chip's compiled graph from a bundle's int8.onnx, all on the HTP."""
    from windhover.inference.build import add_to_bundle
    from windhover.model import Bundle

    compiled = f"{soc}.bin"
    if any(spec.path == compiled for spec in Bundle.load(out).files.values()) and not force:
        raise ConfigError(f"{out}: has {compiled} already; give --force to build it again")
    # All of it again: a bundle between the old files and the new ones would be refused.
    with new_folder(out, force=True, mark=MANIFEST_NAME) as part:
        shutil.copytree(out, part, dirs_exist_ok=True)
        bundle = add_to_bundle(part, soc)
    for spec in bundle.files.values():
        typer.echo(f"{spec.path}: {spec.bytes / 1e6:.2f} MB, SHA-256 {spec.sha256[:12]}")
    typer.echo(f"wrote {out} ({bundle.digest})")


@app.command("second-look")
def export_second_look(
    model: Annotated[Path, typer.Argument(help="bundle that finds people; it is changed")],
    second: Annotated[Path, typer.Option(help="bundle of train second-look")],
    chips: Annotated[Path, typer.Option(help="set of chips that a look is scored on")],
    split: Annotated[str, typer.Option(help="of that set")] = "test-3840",
    span: Annotated[float, typer.Option(min=0.2, help="side of a chip, metres")] = 2.9,
    look_at: Annotated[str, typer.Option(help="labels that chips are cut around")] = "person",
) -> None:
    """Put a second graph into a bundle: weapons are then looked for at full resolution."""
    from windhover.model import Bundle

    from ..export.second_look import attach_second_look, score_looks

    score = score_looks(Bundle.load(second), chips, split)
    labels = [label.strip() for label in look_at.split(",")]
    bundle = attach_second_look(model, second, span, labels, score)
    typer.echo(
        f"one look finds {score.find_rate:.3f} of {score.armed} and is false on "
        f"{score.false_rate:.3f} of {score.unarmed} chips"
    )
    typer.echo(f"wrote {model} ({bundle.digest})")


@app.command("quiet")
def export_quiet(
    model: Annotated[Path, typer.Argument(help="bundle; it is changed")],
    empty: Annotated[
        list[str],
        typer.Option(
            help="FOLDER:SPLIT of pictures with nothing to find, or FOLDER:SPLIT:person,car with "
            "nothing of these"
        ),
    ],
    alarms: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="share of them in which it may be wrong")
    ] = 0.01,
    count_on: Annotated[
        str | None, typer.Option(help="FOLDER:SPLIT of others, to count false alarms on")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option("--score", help="NAME=FOLDER:SPLIT, a set of the card to count finds on"),
    ] = None,
    version: Annotated[str | None, typer.Option(help="of the bundle from now on")] = None,
) -> None:
    """Give a bundle the operating point quiet, which lets few false alarms through."""
    from ..phases.quiet import add_quiet

    counted = None if count_on is None else labelled_split(count_on)
    bundle = add_quiet(
        model,
        [labelled_split(text) for text in empty],
        alarms,
        None if counted is None else (counted.data, counted.split),
        version,
        dict(scored_on(text) for text in scores or []),
    )
    for point in bundle.point_names:
        least = bundle.thresholds_at(point).score_vector(bundle.labels)
        each = ", ".join(f"{k} {v:.3f}" for k, v in zip(bundle.labels, least, strict=True))
        images, found = bundle.provenance.get("alarms", {}).get(point, (0, 0))
        typer.echo(f"{point}: {each}" + (f"; {found} of {images} empty images" if images else ""))
    typer.echo(f"wrote {model} ({bundle.digest})")


def labelled_split(text: str) -> LabelledSplit:
    """``FOLDER:SPLIT`` or ``FOLDER:SPLIT:LABEL,LABEL`` of a command line.

    Raises:
        ConfigError: it is neither.
    """
    folder, *rest = text.split(":")
    if not folder or len(rest) not in (1, 2) or not rest[0]:
        raise ConfigError(f"{text!r} is not FOLDER:SPLIT or FOLDER:SPLIT:LABEL,LABEL")
    labels = [label.strip() for label in rest[1].split(",")] if len(rest) == 2 else []
    return LabelledSplit(data=Path(folder), split=rest[0], labelled=tuple(labels))


def verify_bundle(
    config: ReleaseFile,
    out: Out,
    report: Annotated[
        Path | None,
        typer.Option(
            help="folder for verify.md and verify.json [default: workspace/verify/NAME-VERSION]"
        ),
    ] = None,
    backends: Annotated[
        str, typer.Option(help="what to hold against float.onnx: cpu (INT8), qnn, dlc")
    ] = "cpu,dlc",
    frames: Annotated[
        int, typer.Option(min=1, help="images of each set: an HTP emulator takes seconds for one")
    ] = 60,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier report")] = False,
    settings: Setting = None,
) -> None:
    """Compare float, INT8 and HTP; name the layers that lose most. Resumes one that was stopped."""
    from windhover.model import Bundle
    from windhover_evaluation.fidelity.variants import variant_names

    from ..phases.verify import markdown, verify
    from ..progress import progress_bar

    wanted = _read(config, settings)
    bundle = Bundle.load(out)
    folder = report or WORKSPACE / "verify" / f"{bundle.name}-{bundle.version}"
    names = variant_names(backends)
    with _report(folder, force) as part, progress_bar("comparing") as step:
        result = verify(wanted, bundle, names, frames, part, step)
    typer.echo(markdown(result))
    typer.echo(f"wrote {folder}")


def release_bundle(
    config: ReleaseFile,
    out: Out,
    profile: Annotated[
        Path | None, typer.Option(help="figures of a device, from windhover-train profile")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="folder for the comparison with the HTP [default: as verify's]"),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="released bundle whose graphs and second look stay as they are, in place of the "
            "checkpoint: thresholds, scores and card are made again"
        ),
    ] = None,
    force: Force = False,
    settings: Setting = None,
) -> None:
    """Export, compile, choose thresholds, score, judge the checklist, write bundle and card."""
    from ..phases.checklist import is_ready
    from ..phases.release import release

    wanted = _read(config, settings)
    folder = report or WORKSPACE / "verify" / f"{wanted.name}-{wanted.version}"
    with new_folder(out, force=force, mark=MANIFEST_NAME) as part, _report(folder, force) as other:
        items = release(wanted, part, other, profile, lambda text: typer.echo(text, err=True), keep)
    for item in items:
        typer.echo(f"{item.status:<13} {item.name}: {item.figure}")
    state = "ready" if is_ready(items) else "not ready"
    typer.echo(f"wrote {out}: {state}; the card is {out / 'README.md'}")


def _read(config: Path, settings: list[str] | None) -> ReleaseConfig:
    return load_config(config, ReleaseConfig, settings_of(settings or []))


def _report(folder: Path, force: bool) -> AbstractContextManager[Path]:
    """A comparison's folder: an emulator takes seconds an image, so what was done is kept."""
    return new_folder(folder, force=force, resume=True, mark=VERIFIED, option="--report")
