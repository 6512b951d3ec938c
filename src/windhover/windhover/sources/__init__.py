"""Where frames come from.

:func:`open_source` turns a URI into a :class:`~windhover.sources.base.Source`.
Adding a kind is a module with a class that fits that protocol, and one line in
:data:`SCHEMES` (``name:...``) or :data:`SUFFIXES` (a file's ending).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from windhover.errors import SourceError
from windhover.sources.base import Source
from windhover.sources.files import IMAGE_SUFFIXES, ImageFiles
from windhover.sources.options import SourceOptions, with_query
from windhover.sources.video import VIDEO_SUFFIXES, VideoFile

__all__ = ["SCHEMES", "SUFFIXES", "Source", "SourceOptions", "open_source"]

Opener = Callable[[str, str, SourceOptions], Source]
"""Takes what follows the scheme (or the path), the whole URI, and the options."""


def _images(rest: str, uri: str, options: SourceOptions) -> Source:
    return ImageFiles(Path(rest), uri, options)


def _video(rest: str, uri: str, options: SourceOptions) -> Source:
    return VideoFile(Path(rest), uri, options)


def _rosbag(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.rosbag import RosbagImages

    path, _, query = rest.partition("?")
    return RosbagImages(Path(path), uri, with_query(options, query, uri))


def _v4l2(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.v4l2 import open_v4l2

    path, _, query = rest.removeprefix("//").partition("?")
    return open_v4l2(path, uri, with_query(options, query, uri))


def _gstreamer(rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.gstreamer import GStreamerSource

    return GStreamerSource(rest, uri, options)


def _scene(_rest: str, uri: str, options: SourceOptions) -> Source:
    from windhover.sources.rendered import open_scene

    return open_scene(uri, options)


def _file(rest: str, uri: str, options: SourceOptions) -> Source:
    return _open_path(Path(unquote(urlsplit(f"file:{rest}").path)), uri, options)


SCHEMES: dict[str, Opener] = {
    "file": _file,
    "images": _images,
    "video": _video,
    "rosbag": _rosbag,
    "v4l2": _v4l2,
    "gst": _gstreamer,
    "scene": _scene,
}
"""What opens ``scheme:rest``."""

SUFFIXES: dict[str, Opener] = {
    **dict.fromkeys(IMAGE_SUFFIXES, _images),
    **dict.fromkeys(VIDEO_SUFFIXES, _video),
    **dict.fromkeys((".mcap", ".db3", ".bag"), _rosbag),
}
"""What opens a file with that ending."""


def open_source(uri: str | Path, **options: Any) -> Source:
    """Open whatever gives frames.

    Args:
        uri: a path (folder of images, image, video, rosbag2 folder or file) or one
            of ``file:PATH``, ``images:PATH``, ``video:PATH``,
            ``rosbag:PATH?topic=/camera/image_raw``,
            ``v4l2:///dev/video0?size=1280x720&rate=30&format=mjpeg``,
            ``gst:PIPELINE``, ``scene:NAME?seed=1&altitude=40&...``.
        **options: fields of :class:`~windhover.sources.options.SourceOptions`, such
            as ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``, ``as_gray``
            and ``on_bad``; a URI's query goes before them.

    Returns:
        The source, checked as far as it can be without reading it whole.

    Raises:
        SourceError: it does not exist, is of no known kind, or can't be opened.
        TypeError: an option that does not exist (a mistake in code, not in use).
    """
    text = str(uri)
    if not text.strip():
        raise SourceError("name a source: a path, or v4l2:, gst:, rosbag: or scene: and more")
    chosen = SourceOptions(**options)
    path = Path(text)
    match = re.match(r"([A-Za-z][A-Za-z0-9+-]+):(.*)", text, re.DOTALL)
    if match is None or path.exists():
        return _open_path(path, text, chosen)
    opener = SCHEMES.get(match[1].lower())
    if opener is None:
        raise SourceError(
            f"unknown kind of source {match[1]}: in {text!r}, "
            f"use a path or one of {', '.join(f'{name}:' for name in SCHEMES)}"
        )
    return opener(match[2], text, chosen)


def _open_path(path: Path, uri: str, options: SourceOptions) -> Source:
    if not path.exists():
        raise SourceError(f"no such file or folder: {path}")
    if path.is_dir():
        return (_rosbag if _is_bag(path) else _images)(str(path), uri, options)
    if path.is_char_device():
        return _v4l2(str(path), uri, options)
    opener = SUFFIXES.get(path.suffix.lower())
    if opener is None:
        raise SourceError(
            f"{path} has no known ending ({path.suffix or 'none'}): "
            f"use one of {', '.join(SUFFIXES)}"
        )
    return opener(str(path), uri, options)


def _is_bag(folder: Path) -> bool:
    if (folder / "metadata.yaml").is_file():
        return True
    return any(next(folder.glob(pattern), None) for pattern in ("*.mcap", "*.db3"))
