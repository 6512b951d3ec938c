"""Where frames come from.

:func:`open_source` turns a URI into a :class:`~windhover.sources.base.Source`. A kind of
source is a :class:`~windhover.sources.kinds.SourceKind` in :data:`SOURCES`: one module, and
one line here or an entry point in the group ``windhover.sources``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from windhover.errors import SourceError
from windhover.registry import Registry
from windhover.sources.base import Source
from windhover.sources.files import IMAGE_SUFFIXES, ImageFiles
from windhover.sources.kinds import Opener, SourceKind
from windhover.sources.options import SourceOptions, with_query
from windhover.sources.video import VIDEO_SUFFIXES, VideoFile

__all__ = [
    "SOURCES",
    "SUFFIXES",
    "Source",
    "SourceKind",
    "SourceOptions",
    "is_bag",
    "is_device",
    "kind_of",
    "open_source",
]


def _images(rest: str, uri: str, options: SourceOptions) -> Source:
    path, options = _path_and_options(rest, uri, options)
    return ImageFiles(path, uri, options)


def _video(rest: str, uri: str, options: SourceOptions) -> Source:
    path, options = _path_and_options(rest, uri, options)
    return VideoFile(path, uri, options)


def _rosbag(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.rosbag import RosbagImages

    path, options = _path_and_options(rest, uri, options)
    return RosbagImages(path, uri, options)


def _path_and_options(rest: str, uri: str, options: SourceOptions) -> tuple[Path, SourceOptions]:
    """Split a path from the query behind it; a file may well have a ``?`` in its name."""
    path, _, query = rest.partition("?")
    if not query or Path(rest).exists():
        return Path(rest), options
    return Path(path), with_query(options, query, uri)


def _v4l2(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.v4l2 import open_v4l2

    path, _, query = rest.removeprefix("//").partition("?")
    return open_v4l2(path, uri, with_query(options, query, uri))


def _gstreamer(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.gstreamer_shared import open_gstreamer

    return open_gstreamer(rest, uri, options)


def _file(rest: str, uri: str, options: SourceOptions) -> Source:
    return _open_path(Path(unquote(urlsplit(f"file:{rest}").path)), uri, options)


SOURCES: Registry[SourceKind] = Registry(
    "windhover.sources",
    SourceKind,
    {
        "file": SourceKind(_file, "file:PATH"),
        "images": SourceKind(_images, "images:PATH"),
        "video": SourceKind(_video, "video:PATH"),
        "rosbag": SourceKind(_rosbag, "rosbag:PATH?topic=/camera/image_raw"),
        "v4l2": SourceKind(_v4l2, "v4l2:///dev/video0?size=1280x720&rate=30", live=True),
        "gst": SourceKind(_gstreamer, "gst:PIPELINE", live=True),
    },
)
"""Kinds of source by the scheme of their URI."""

SUFFIXES: dict[str, Opener] = {
    **dict.fromkeys(IMAGE_SUFFIXES, _images),
    **dict.fromkeys(VIDEO_SUFFIXES, _video),
    **dict.fromkeys((".mcap", ".db3", ".bag"), _rosbag),
}
"""Openers of files by suffix."""

_BAG_FILES = ("metadata.yaml", "*.mcap", "*.db3")
# Schemes of packages that need not be installed.
_OPTIONAL = {"scene": "windhover_sim"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]+):(.*)", re.DOTALL)


def kind_of(uri: str) -> SourceKind | None:
    """The kind of source that a URI's scheme names; ``None`` for a path.

    Raises:
        SourceError: no such scheme is registered.
        ConfigError: the package that registered it cannot be imported.
    """
    match = _SCHEME.match(uri)
    if match is None or Path(uri).exists():
        return SOURCES["v4l2"] if Path(uri).is_char_device() else None
    scheme = match[1].lower()
    if scheme in SOURCES:
        return SOURCES[scheme]
    if scheme in _OPTIONAL:
        raise SourceError(
            f"{scheme}: sources need the package {_OPTIONAL[scheme]}; "
            f"install it with 'pip install ./src/{_OPTIONAL[scheme]}' from a checkout"
        )
    raise SourceError(
        f"unknown kind of source {match[1]}: in {uri!r}, "
        f"use a path or one of {', '.join(f'{name}:' for name in SOURCES)}"
    )


def is_device(uri: str) -> bool:
    """Whether a URI names a camera, which may be absent now and come back later."""
    if uri.startswith("/dev/"):
        return True
    kind = kind_of(uri)
    return kind is not None and kind.live


def open_source(uri: str | Path, **options: Any) -> Source:
    """Open a source of frames.

    Args:
        uri: a path (folder of images, image, video, rosbag2 folder or file) or one
            of ``file:PATH``, ``images:PATH``, ``video:PATH``,
            ``rosbag:PATH?topic=/camera/image_raw``,
            ``v4l2:///dev/video0?size=1280x720&rate=30&format=mjpeg``,
            ``gst:PIPELINE``, ``scene:NAME?seed=1&altitude=40&...`` or another scheme
            in :data:`SOURCES`.
        **options: fields of :class:`~windhover.sources.options.SourceOptions`, such
            as ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``, ``as_gray``
            and ``on_bad``; a URI's query overrides them.

    Returns:
        The source, checked as far as possible without reading all of it.

    Raises:
        SourceError: it does not exist, is of no known kind, or can't be opened.
        TypeError: an option that does not exist (a mistake in code, not in use).
    """
    text = str(uri)
    if not text.strip():
        raise SourceError("name a source: a path, or v4l2:, gst:, rosbag: or scene: and more")
    chosen = SourceOptions(**options)
    path = Path(text)
    match = _SCHEME.match(text)
    kind = kind_of(text)
    if match is None or kind is None or path.exists():
        return _open_path(path, text, chosen)
    return kind.open(match[2], text, chosen)


def is_bag(path: Path | str) -> bool:
    """Whether a path is a rosbag2 folder or file, or a ROS 1 bag."""
    path = Path(path)
    if path.is_dir():
        return any(next(path.glob(pattern), None) for pattern in _BAG_FILES)
    return path.is_file() and path.suffix in {".mcap", ".db3", ".bag"}


def _open_path(path: Path, uri: str, options: SourceOptions) -> Source:
    path, options = _path_and_options(str(path), uri, options)
    if not path.exists():
        raise SourceError(f"no such file or folder: {path}")
    if path.is_dir():
        return (_rosbag if is_bag(path) else _images)(str(path), uri, options)
    if path.is_char_device():
        return _v4l2(str(path), uri, options)
    opener = SUFFIXES.get(path.suffix.lower())
    if opener is None:
        raise SourceError(
            f"{path} has no known suffix ({path.suffix or 'none'}): "
            f"use one of {', '.join(SUFFIXES)}"
        )
    return opener(str(path), uri, options)
