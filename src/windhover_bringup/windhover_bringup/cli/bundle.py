"""``windhover bundle``: sign model bundles, and check them as a drone does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover_bringup.cli import options

app = typer.Typer(help="Sign model bundles and verify them.", no_args_is_help=True)


@app.command("sign")
def sign(
    model: options.ModelArgument,
    key: Annotated[
        Path, typer.Option(help="Ed25519 private key: PEM without a passphrase, or 32 raw bytes.")
    ],
) -> None:
    """Sign a bundle: write bundle.yaml.sig beside its bundle.yaml."""
    from windhover.model.bundle import MANIFEST_NAME, Bundle
    from windhover.model.signature import fingerprint, load_private_key, sign_manifest

    private = load_private_key(key)
    bundle = Bundle.load(model)
    path = sign_manifest(bundle.root / MANIFEST_NAME, private)
    typer.echo(f"{path}: signed with key {fingerprint(private.public_key())}")


@app.command("verify")
def verify(
    model: options.ModelArgument,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Ed25519 public key of the signature that it must have: PEM or 32 raw bytes."
        ),
    ] = None,
) -> None:
    """Check every file's hash and, with a key, the signature; status 2 if anything is wrong."""
    from windhover.model.bundle import Bundle

    bundle = Bundle.load(model, public_key=key)
    typer.echo(
        f"{bundle.root}: {bundle.name} {bundle.version}, {len(bundle.files)} files as released, "
        f"signature: {bundle.signature}"
    )
