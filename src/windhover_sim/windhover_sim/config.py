"""Configuration of a scene, and the URI that names one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final
from urllib.parse import parse_qsl

from windhover.errors import ConfigError
from windhover_sim.kinds import WEAPON_KINDS

#: Class names of the scene's truth; ``class_ids`` index this tuple. In the RGB camera's truth
#: a ``two-wheeler`` is a motorcycle without its riders, who are ``person``, as in COCO and
#: VisDrone. In the thermal camera's truth it is a motorcycle or a bicycle with its riders, who
#: are nothing by themselves, as in HIT-UAV.
SCENE_LABELS: Final = ("person", "weapon", "two-wheeler", "vehicle", "bicycle")

CAMERAS: Final = ("thermal", "rgb")
ENCODINGS: Final = {"thermal": ("mono16", "mono8"), "rgb": ("bgr8",)}

_HOURS: Final = {"day": 13.0, "dusk": 19.5, "night": 1.0}

_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "seed": (0, 2**31 - 1),
    "altitude_m": (5, 200),
    "pitch_deg": (15, 90),
    "n_people": (0, 200),
    "n_armed": (0, 100),
    "n_lookalikes": (0, 100),
    "n_motorcycles": (0, 60),
    "n_cars": (0, 60),
    "duration_s": (0.01, 600),
    "rate_hz": (1, 120),
    "thermal_hfov_deg": (5, 110),
    "rgb_hfov_deg": (5, 110),
    "motion": (0, 5),
    "speed_mps": (0, 10),
    "noise": (0, 5),
    "clutter": (0, 3),
    "crowding": (0, 1),
    "occlusion": (0, 1),
    "fog": (0, 1),
    "rain": (0, 1),
    "defocus": (0, 5),
    "variety": (0, 1),
    "n_bicycles": (0, 60),
}
_SIZE_LIMITS: Final = (64, 4096)


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"scene {name}={value} is out of range: {low} to {high}")


def _hour(time_of_day: str | float) -> float:
    if isinstance(time_of_day, str) and time_of_day in _HOURS:
        return _HOURS[time_of_day]
    try:
        hour = float(time_of_day)
    except ValueError:
        raise ConfigError(
            f"scene time_of_day={time_of_day!r} must be day, dusk, night or an hour, 0 to 24"
        ) from None
    _in_range("time_of_day", hour, 0, 24)
    return hour % 24


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """A scene: everything that decides its pixels and its truth.

    Attributes:
        seed: of everything that is random.
        altitude_m: height of the camera over flat ground, metres.
        pitch_deg: tilt of the optical axis below the horizon; 90 looks straight down.
        time_of_day: ``day``, ``dusk``, ``night`` or the hour, 0 to 24.
        n_people: people without a weapon.
        n_armed: people who carry a rifle-length object, besides ``n_people``.
        weapons: kinds that the armed carry, drawn evenly: ``rifle``, ``shotgun``,
            ``pistol``, separated by commas.
        n_lookalikes: people who carry something that looks like a weapon from
            above and is none: a stick, a shovel, an umbrella, a phone, a long bag.
        n_motorcycles: two-wheelers; most are ridden, some are parked.
        n_cars: cars and vans, parked or driving.
        duration_s: length of the clip, seconds.
        rate_hz: frames a second.
        thermal_size: width and height of the thermal image, pixels.
        rgb_size: width and height of the RGB image, pixels.
        thermal_hfov_deg: horizontal field of view of the thermal camera.
        rgb_hfov_deg: horizontal field of view of the RGB camera.
        motion: strength of drift, yaw and shake of the drone; 0 hovers rigidly.
        speed_mps: forward speed of the drone, metres a second.
        noise: strength of sensor noise and fixed pattern; 0 gives clean images.
        clutter: density of trees, bushes, buildings and street furniture.
        crowding: share of people who start close to another one.
        occlusion: share of people who start under or beside a tree, bush or car.
        fog: 0 (clear) to 1 (a quarter of the light is left after 60 m).
        rain: 0 to 1: wet, duller surfaces and streaks.
        defocus: blur of the RGB lens, pixels; the thermal lens has half of it.
        variety: 0 to 1, how far light, cameras, clothes and what stands about leave the plain
            set.
        n_bicycles: bicycles, most of them ridden.
        textures: folder of pictures for ground, walls and clothes (:mod:`windhover_sim.textures`);
            "" for none.

    Raises:
        ConfigError: a value is out of its range; the message gives the range.
    """

    seed: int = 0
    altitude_m: float = 40.0
    pitch_deg: float = 60.0
    time_of_day: str | float = "night"
    n_people: int = 12
    n_armed: int = 3
    n_motorcycles: int = 3
    n_cars: int = 6
    duration_s: float = 20.0
    rate_hz: float = 15.0
    thermal_size: tuple[int, int] = (640, 512)
    rgb_size: tuple[int, int] = (1280, 720)
    thermal_hfov_deg: float = 60.0
    rgb_hfov_deg: float = 66.0
    motion: float = 1.0
    speed_mps: float = 0.0
    noise: float = 1.0
    clutter: float = 1.0
    weapons: str = "rifle"
    n_lookalikes: int = 0
    crowding: float = 0.3
    occlusion: float = 0.0
    fog: float = 0.0
    rain: float = 0.0
    defocus: float = 0.0
    variety: float = 0.0
    n_bicycles: int = 0
    textures: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            _in_range(name, getattr(self, name), low, high)
        for name in ("thermal_size", "rgb_size"):
            for side in getattr(self, name):
                _in_range(name, side, *_SIZE_LIMITS)
        _hour(self.time_of_day)
        unknown = [kind for kind in self.weapon_kinds if kind not in WEAPON_KINDS]
        if unknown or not self.weapon_kinds:
            raise ConfigError(
                f"scene weapons={self.weapons!r} must name one or more of "
                f"{', '.join(WEAPON_KINDS)}, separated by commas"
            )

    @property
    def weapon_kinds(self) -> tuple[str, ...]:
        """What ``weapons`` names."""
        return tuple(kind.strip() for kind in self.weapons.split(",") if kind.strip())

    @property
    def hour(self) -> float:
        """Local solar time, hours in 0..24."""
        return _hour(self.time_of_day)

    @property
    def length(self) -> int:
        """Frames in the clip, at least one."""
        return max(1, round(self.duration_s * self.rate_hz))


#: Scenes by name. Values are what differs from ``SceneConfig``'s defaults.
PRESETS: Final[dict[str, SceneConfig]] = {
    "demo": SceneConfig(),
    "crossing": SceneConfig(
        n_people=10, n_armed=1, n_motorcycles=6, n_cars=12, speed_mps=1.5, time_of_day="day"
    ),
    "empty": SceneConfig(n_people=0, n_armed=0, n_motorcycles=0, n_cars=0),
    "crowd": SceneConfig(n_people=60, n_armed=6, n_motorcycles=2, n_cars=3),
}


@dataclass(frozen=True, slots=True)
class SceneUri:
    """A parsed ``scene:`` URI: the scene, and the camera and encoding of its frames."""

    config: SceneConfig
    camera: str
    encoding: str


_KEYS: Final = {
    "seed": "seed",
    "altitude": "altitude_m",
    "pitch": "pitch_deg",
    "time": "time_of_day",
    "people": "n_people",
    "armed": "n_armed",
    "motorcycles": "n_motorcycles",
    "cars": "n_cars",
    "duration": "duration_s",
    "rate": "rate_hz",
    "motion": "motion",
    "speed": "speed_mps",
    "noise": "noise",
    "clutter": "clutter",
    "weapons": "weapons",
    "lookalikes": "n_lookalikes",
    "crowding": "crowding",
    "occlusion": "occlusion",
    "fog": "fog",
    "rain": "rain",
    "defocus": "defocus",
    "variety": "variety",
    "bicycles": "n_bicycles",
    "textures": "textures",
}
_SIZES: Final = ("rgb_size", "thermal_size")
_VIEW_KEYS: Final = ("camera", "encoding", "frames", "size", "hfov", *_SIZES)


def parse_scene_uri(uri: str) -> SceneUri:
    """Parse ``scene:<preset>?seed=1&altitude=40&time=night&camera=thermal&frames=300``.

    Keys: ``seed``, ``altitude``, ``pitch``, ``time``, ``people``, ``armed``,
    ``motorcycles``, ``cars``, ``duration``, ``rate``, ``motion``, ``speed``,
    ``noise``, ``clutter``, ``weapons``, ``lookalikes``, ``crowding``, ``occlusion``,
    ``fog``, ``rain``, ``defocus``, ``variety``, ``bicycles``, ``textures`` set the
    scene; ``camera`` (thermal or rgb), ``encoding`` (mono16, mono8 or bgr8), ``size``
    (640x512) and ``hfov`` set the view, ``rgb_size`` and ``thermal_size`` those of a scene that
    two cameras share; ``frames`` sets the duration as a count.

    Raises:
        ConfigError: unknown preset or key, or a value that is no number or out
            of range.
    """
    scheme, _, rest = uri.partition(":")
    name, _, query = rest.partition("?")
    if scheme != "scene":
        raise ConfigError(f"{uri!r} is no scene URI: it must start with 'scene:'")
    name = name or "demo"
    if name not in PRESETS:
        raise ConfigError(f"no scene named {name!r}; choose one of {', '.join(PRESETS)}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [key for key in options if key not in _KEYS and key not in _VIEW_KEYS]
    if unknown:
        known = ", ".join([*_KEYS, *_VIEW_KEYS])
        raise ConfigError(f"scene URI has an unknown key {unknown[0]!r}; known keys: {known}")
    camera = _choice("camera", options.pop("camera", "thermal"), CAMERAS)
    encoding = _choice(
        f"encoding of the {camera} camera",
        options.pop("encoding", ENCODINGS[camera][0]),
        ENCODINGS[camera],
    )
    return SceneUri(_configure(PRESETS[name], camera, options), camera, encoding)


def _configure(base: SceneConfig, camera: str, options: dict[str, str]) -> SceneConfig:
    types = {field.name: field.type for field in fields(SceneConfig)}
    changes: dict[str, object] = {}
    for key, text in options.items():
        if key in _KEYS:
            name = _KEYS[key]
            if types[name] not in ("int", "float"):
                changes[name] = text
            else:
                changes[name] = _number(key, text, integer=types[name] == "int")
        elif key == "size":
            changes[f"{camera}_size"] = _size(text)
        elif key in _SIZES:
            changes[key] = _size(text)
        elif key == "hfov":
            changes[f"{camera}_hfov_deg"] = _number(key, text, integer=False)
    config = replace(base, **changes)  # type: ignore[arg-type]
    if "frames" in options:
        frames = _number("frames", options["frames"], integer=True)
        _in_range("frames", frames, 1, 36_000)
        config = replace(config, duration_s=frames / config.rate_hz)
    return config


def _number(key: str, text: str, *, integer: bool) -> float:
    try:
        return int(text) if integer else float(text)
    except ValueError:
        kind = "a whole number" if integer else "a number"
        raise ConfigError(f"scene {key}={text!r} is not {kind}") from None


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ConfigError(f"scene size={text!r} must be WIDTHxHEIGHT, such as 640x512")
    return int(width), int(height)


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ConfigError(f"scene {key} {value!r} must be one of {', '.join(allowed)}")
    return value
