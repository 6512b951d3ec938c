"""Model bundles on disk: finding, verifying, opening and writing them.

A bundle is a folder with ``bundle.yaml`` and the files it names. It is trusted
only after every file's length and SHA-256 agree with the declaration, and, where
a public key is given, after the declaration was found signed with it, so that what
runs on the drone is what was released.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import PrivateAttr, ValidationError

from windhover.errors import BundleError
from windhover.files import write_bytes_atomic
from windhover.model.manifest import (
    FORMAT_VERSION,
    STANDARD_FILES,
    FileSpec,
    Manifest,
    Role,
)
from windhover.model.signature import (
    SIGNATURE_NAME,
    check_signature,
    fingerprint,
    load_public_key,
)
from windhover.plain_yaml import MAX_BYTES, YamlError, dump_yaml, parse_yaml, yaml_problem

MANIFEST_NAME = "bundle.yaml"
_CHUNK = 1 << 20
# What Ultralytics writes.
_WEIGHTS = frozenset({".onnx", ".pt"})


class Bundle(Manifest):
    """A verified manifest and the folder it was read from."""

    _root: Path = PrivateAttr()
    _digest: str = PrivateAttr()
    _signature: str = PrivateAttr(default="unsigned")

    @property
    def root(self) -> Path:
        """Folder of the bundle."""
        return self._root

    @property
    def digest(self) -> str:
        """First 12 hex digits of the manifest's SHA-256.

        The manifest holds every file's hash, so this identifies the complete bundle;
        diagnostics carry it.
        """
        return self._digest

    @property
    def signature(self) -> str:
        """What is known of who released it, for diagnostics.

        ``unsigned``, ``not checked`` (signed, but no key was given), or ``key`` and the
        fingerprint of the key that it was found signed with.
        """
        return self._signature

    def file(self, role: Role) -> Path | None:
        """Path of the file with this role; ``None`` when the bundle has none."""
        spec = self.files.get(role)
        return None if spec is None else self._root / spec.path

    def load_second_look(self) -> Bundle | None:
        """The bundle of the second graph, ``None`` where there is none.

        Its manifest's hash stands in this bundle's, so a signature of this one covers it.

        Raises:
            BundleError: it is missing, damaged, or not the one that this bundle was released
                with.
        """
        if self.second_look is None:
            return None
        folder = self._root / self.second_look.bundle
        manifest = folder / MANIFEST_NAME
        if not manifest.is_file():
            raise BundleError(f"{self._root} lacks its second look: there is no {manifest}")
        if file_sha256(manifest) != self.second_look.sha256:
            raise BundleError(
                f"{manifest} is not the one that {self.name} {self.version} was released with; "
                "fetch the bundle again"
            )
        return Bundle.load(folder)

    @classmethod
    def load(
        cls,
        path_or_name: str | os.PathLike[str],
        search: Iterable[Path] | None = None,
        public_key: str | os.PathLike[str] | None = None,
    ) -> Bundle:
        """Open a bundle and verify all of its files.

        Args:
            path_or_name: a bundle's folder, its ``bundle.yaml``, or a bare name
                that is looked up in ``search``.
            search: folders that hold bundles; :func:`search_path` by default.
            public_key: file of the Ed25519 key that it must be signed with; empty or
                ``None`` asks for no signature.

        Raises:
            BundleError: not found, damaged, of an unknown format version, not signed as
                asked, or a file is missing, outside the bundle, or not what was released.
            ConfigError: the public key can't be used.
        """
        root = find_bundle(path_or_name, search)
        text = _read_manifest(root / MANIFEST_NAME)
        # Before anything in it is looked at.
        signature = _signature(root / MANIFEST_NAME, text, public_key)
        bundle = cls._parse(root, text)
        bundle._signature = signature
        for role, spec in bundle.files.items():
            _verify(root, role, spec)
        return bundle

    @classmethod
    def _parse(cls, root: Path, text: bytes) -> Bundle:
        where = root / MANIFEST_NAME
        try:
            data = parse_yaml(text)
        except YamlError as error:
            raise BundleError(
                f"{where} is not readable YAML ({error}); fetch the bundle again"
            ) from error
        if not isinstance(data, dict):
            raise BundleError(f"{where} holds no mapping; fetch the bundle again")
        version = data.get("format")
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{where} has bundle format {version!r} and this Windhover reads "
                f"{FORMAT_VERSION}; use the Windhover release that the bundle was made for"
            )
        try:
            bundle = cls.model_validate(data)
        except ValidationError as error:
            raise BundleError(
                f"{where}: {validation_problem(error)}; correct it or fetch the bundle again"
            ) from error
        bundle._root = root
        bundle._digest = hashlib.sha256(text).hexdigest()[:12]
        return bundle


def search_path() -> Iterator[Path]:
    """Folders where a bundle is looked up by name, first match wins.

    ``$WINDHOVER_MODELS`` (folders separated as in ``$PATH``), the ``models`` folder of the
    checkout this package is installed from, then ``share/windhover_models/models`` of each
    ROS prefix and of this Python, then ``./models``.
    """
    for entry in os.environ.get("WINDHOVER_MODELS", "").split(os.pathsep):
        if entry:
            yield Path(entry)
    checkout = Path(__file__).resolve().parents[4]
    if (checkout / "src" / "windhover_models").is_dir():
        yield checkout / "models"
    share = Path("share") / "windhover_models" / "models"
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / share
    yield Path(sys.prefix) / share
    yield Path("models")


def find_bundle(path_or_name: str | os.PathLike[str], search: Iterable[Path] | None = None) -> Path:
    """Folder of a bundle given by path or name.

    A name without a slash is a released bundle's first; only where no release has it is it a
    folder in the current directory.

    Args:
        path_or_name: ``thermal-n``, ``./mine``, or a path of ``bundle.yaml``.
        search: folders to look a name up in; :func:`search_path` by default.

    Raises:
        BundleError: there is none; the message lists the folders searched.
    """
    text = os.fspath(path_or_name)
    path = Path(text)
    tried = []
    if text and path.name == text:
        # The prefix of this Python is often named in AMENT_PREFIX_PATH as well.
        for folder in dict.fromkeys(search_path() if search is None else search):
            if (folder / text / MANIFEST_NAME).is_file():
                return folder / text
            tried.append(str(folder))
    if path.name == MANIFEST_NAME and path.is_file():
        return path.parent
    if (path / MANIFEST_NAME).is_file():
        return path
    if path.suffix.lower() in _WEIGHTS and (path.exists() or path.parent.is_dir()):
        raise BundleError(
            f"{text} is a model file and no bundle; make one of it with: windhover-train import "
            f"{text} --calibration FOLDER_OF_PICTURES --out models/{path.stem}"
        )
    if text and path.exists():
        raise BundleError(
            f"{text} is no model bundle: it holds no {MANIFEST_NAME}; "
            "give a bundle's folder or name"
        )
    if not tried:
        raise BundleError(f"there is no model bundle at {text!r}; give a bundle's folder or name")
    raise BundleError(
        f"no model bundle {text!r} in {', '.join(tried)}; give its folder or set WINDHOVER_MODELS"
    )


def write_bundle(directory: str | os.PathLike[str], manifest: Mapping[str, Any]) -> Bundle:
    """Write ``bundle.yaml`` for the files in ``directory``.

    Args:
        directory: holds at least one of ``float.onnx``, ``int8.onnx``,
            ``int8.dlc`` and ``qcs8550.bin``; those present are listed.
        manifest: all of the manifest but ``format`` and ``files``, which are
            made here. Plain values only (what YAML's safe dumper takes).

    Returns:
        The bundle, read back and verified.

    Raises:
        BundleError: the manifest is not valid or no file is there.
    """
    root = Path(directory)
    files = {
        role.value: {
            "path": name,
            "sha256": file_sha256(root / name),
            "bytes": (root / name).stat().st_size,
        }
        for role, name in STANDARD_FILES.items()
        if (root / name).is_file()
    }
    data = {"format": FORMAT_VERSION, **manifest, "files": files}
    try:
        text = dump_yaml(data, allow_unicode=True, width=100)
    except yaml.YAMLError as error:
        raise BundleError(
            f"the manifest for {root} holds a value that is no plain YAML "
            f"({yaml_problem(error)}); give str, int, float, list and dict only"
        ) from error
    Bundle._parse(root, text.encode())
    write_bytes_atomic(root / MANIFEST_NAME, text.encode())
    return Bundle.load(root)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hex, read in chunks so that its size does not matter."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def validation_problem(error: ValidationError) -> str:
    """The first complaint of pydantic, in one line, and how many more there are."""
    details: Sequence[Any] = error.errors(include_url=False, include_context=False)
    first = details[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{where}: {message}{more}" if where else f"{message}{more}"


def _read_manifest(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BundleError(f"{path} is {size} bytes, too large for a manifest; fetch it again")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} can't be read ({error.strerror}); check its permissions"
        ) from error


def _signature(manifest: Path, text: bytes, key: str | os.PathLike[str] | None) -> str:
    """The value of :attr:`Bundle.signature`; refuses a bundle not signed as required."""
    if key is None or not os.fspath(key):
        return "not checked" if manifest.with_name(SIGNATURE_NAME).exists() else "unsigned"
    public = load_public_key(key)
    check_signature(manifest, text, public)
    return f"key {fingerprint(public)}"


def _verify(root: Path, role: Role, spec: FileSpec) -> None:
    path = root / spec.path
    label = f"{path} ({role.value})"
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            raise BundleError(f"{label} is a link to outside the bundle; put the file itself there")
        if not path.is_file():
            raise BundleError(f"{label} is missing; fetch the bundle again")
        size = path.stat().st_size
        if size != spec.bytes:
            raise BundleError(
                f"{label} is {size} bytes where {MANIFEST_NAME} says {spec.bytes}; "
                "fetch the bundle again"
            )
        digest = file_sha256(path)
    except OSError as error:
        raise BundleError(f"{label} can't be read ({error.strerror}); check it") from error
    if digest != spec.sha256:
        raise BundleError(
            f"{label} has SHA-256 {digest[:12]}... where {MANIFEST_NAME} says "
            f"{spec.sha256[:12]}...; fetch the bundle again"
        )
