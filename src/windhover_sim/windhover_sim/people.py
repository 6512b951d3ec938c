"""Small articulated figures: gait, posture, clothes and what they carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Floats
from windhover_sim.carried import canopy, carried_parts, grips, item_surface
from windhover_sim.climate import Climate
from windhover_sim.kinds import WEAPON_KINDS
from windhover_sim.shapes import FACE_CORNERS, SIDES, Covering, Shape, capsules_to_world, to_world
from windhover_sim.textures import Cover

_NO_FACES: Final = np.empty((0, FACE_CORNERS, 3))

POSTURES: Final = ("walk", "run", "stand", "crouch", "sit", "prone")
#: How often each is worn, and colours B, G, R of safety vests.
_OUTFITS: Final = {"hat": 0.5, "vest": 0.12, "dress": 0.2, "coat": 0.2, "uniform": 0.15}
_VESTS: Final = np.array([[40, 240, 210], [30, 110, 250]], np.float32)
CARRY_POSES: Final = ("port", "aim", "trail", "slung")

#: Parts in the order that `_limbs` gives them.
_PARTS: Final = (
    ["torso", "belly", "shoulders", "neck", "head", "hair"]
    + ["upper_arm", "forearm", "hand"] * 2
    + ["thigh", "shank", "shoe"] * 2
)

_ABOVE: Final = ("torso", "belly", "shoulders", "upper_arm")
_BELOW: Final = ("thigh", "shank")
#: Which of the two clothes each part shows, 0 for neither.
_WORN: Final = np.array([1 if p in _ABOVE else 2 if p in _BELOW else 0 for p in _PARTS])


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same about one person.

    Attributes:
        stature: height over 1.75 m.
        build: girth over the average.
        posture: one of ``POSTURES``.
        carry: how the long object is held, one of ``CARRY_POSES``; ``None`` with none.
        rifle_m: length of that object, metres.
        load: a harmless load: ``pack``, ``bag``, ``stick`` or ``None``.
        celsius: temperature of every part, the carried ones last.
        bgr: colour of every part, likewise.
        kind: what the long object is: one of ``WEAPON_KINDS`` or ``LOOKALIKES``.
        cloth: pictures of what is worn above and below, if any.
    """

    stature: float
    build: float
    posture: str
    carry: str | None
    rifle_m: float
    load: str | None
    celsius: NDArray[np.float32]
    bgr: NDArray[np.float32]
    kind: str = "rifle"
    cloth: tuple[Cover, Cover] | None = None

    @property
    def armed(self) -> bool:
        """Whether what is carried is a weapon of the truth."""
        return self.carry is not None and self.kind in WEAPON_KINDS

    def shape(self, x: float, y: float, heading: float, phase: float, stride: float) -> Shape:
        """The figure at a place.

        Args:
            x: ground position, metres.
            y: ground position, metres.
            heading: radians from world x.
            phase: of the gait, radians.
            stride: 0 standing to 1 walking, 1.35 running.
        """
        grip = None if self.carry is None else grips(self.kind, self.posture, self.carry)
        body = _limbs(self.posture, grip, phase, stride, self.build)
        extra, entity = self._carried(body)
        capsules = np.concatenate([body, extra]) if len(extra) else body
        capsules = capsules * self.stature
        faces = _NO_FACES
        if self.kind == "umbrella" and self.carry is not None:
            faces = to_world(canopy(self.posture) * self.stature, x, y, heading)
        count = len(capsules)
        total = count + len(faces)
        above = np.zeros(len(faces), np.uint8)
        return Shape(
            capsules=capsules_to_world(capsules, x, y, heading),
            faces=faces,
            layer=np.repeat([0, 1], [count, len(faces)]),
            celsius=self.celsius[:total],
            bgr=self.bgr[:total],
            entity=np.concatenate([np.zeros(len(body), np.uint8), entity, above]),
            covering=self._clothes(total),
        )

    def _clothes(self, total: int) -> Covering | None:
        if self.cloth is None:
            return None
        parts = np.zeros(total, np.int64)
        parts[: len(_PARTS)] = _WORN
        # A stature is no two people's, so that neither are the folds.
        return Covering(self.cloth, parts, (7.3 * self.stature, 5.9 * self.build))

    def _carried(self, body: Floats) -> tuple[Floats, NDArray[np.uint8]]:
        parts: list[Floats] = []
        entity: list[int] = []
        if self.load == "pack":
            parts.append(np.array([[-0.2, 0, 1.12, 0.12, -0.2, 0, 1.36, 0.12]]))
        elif self.load == "bag":
            hand = body[8, :3]
            parts.append(np.array([[*hand, 0.02, *(hand + [0.0, 0.0, -0.32]), 0.13]]))
        elif self.load == "stick":
            hand = body[8, :3]
            tip = hand + np.array([0.28, 0.04, -0.78])
            parts.append(np.array([[*(hand + [-0.05, 0, 0.12]), 0.02, *tip, 0.015]]))
        if parts and self.posture in ("crouch", "sit", "prone"):
            parts = []
        entity += [0] * sum(len(part) for part in parts)
        if self.carry is not None:
            length = self.rifle_m / self.stature
            held = carried_parts(self.kind, self.posture, self.carry, length)
            parts.append(held)
            entity += [int(self.armed)] * len(held)
        if not parts:
            return np.empty((0, 8)), np.empty(0, np.uint8)
        return np.concatenate(parts), np.array(entity, np.uint8)


def make_person(rng: np.random.Generator, climate: Climate, armed: bool) -> Person:
    """Draw a person from a random generator."""
    odds = [0.62, 0.06, 0.22, 0.03, 0.05, 0.02] if not armed else [0.6, 0.08, 0.2, 0.09, 0.0, 0.03]
    posture = str(rng.choice(POSTURES, p=odds))
    carry = str(rng.choice(CARRY_POSES, p=[0.45, 0.2, 0.2, 0.15])) if armed else None
    if posture == "prone" and armed:
        carry = "aim"
    load = None
    if not armed and rng.random() < 0.35:
        load = str(rng.choice(["pack", "bag", "stick"], p=[0.45, 0.4, 0.15]))
    celsius, bgr = _part_surfaces(rng, climate, load)
    return Person(
        stature=float(np.clip(rng.normal(1.0, 0.045), 0.87, 1.12)),
        build=float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.3)),
        posture=posture,
        carry=carry,
        rifle_m=float(rng.uniform(0.85, 1.08)),
        load=load,
        celsius=celsius,
        bgr=bgr,
    )


def varied_person(
    person: Person, rng: np.random.Generator, climate: Climate, variety: float
) -> Person:
    """The same figure in other clothes, and more often sitting, crouching or lying.

    Hats, safety vests, dresses and coats, uniforms of one colour; by their colours alone, on
    the same limbs.

    Args:
        person: drawn by :func:`make_person`.
        rng: random generator.
        climate: weather.
        variety: how likely each is, 0 to 1.
    """
    bgr, celsius = person.bgr.copy(), person.celsius.copy()
    outfits = {
        "hat": (["hair"], _garment_bgr(rng)),
        "vest": (["torso", "belly", "shoulders"], rng.choice(_VESTS)),
        "dress": (["belly", "thigh"], bgr[_PARTS.index("torso")]),
        "coat": (["thigh", "upper_arm", "forearm"], bgr[_PARTS.index("torso")]),
        "uniform": (["thigh", "shank", "upper_arm", "forearm"], bgr[_PARTS.index("torso")] * 0.9),
    }
    for name, chance in _OUTFITS.items():
        if rng.random() < chance * variety:
            parts, colour = outfits[name]
            rows = [row for row, part in enumerate(_PARTS) if part in parts]
            bgr[rows] = colour
            celsius[rows] = climate.cloth(float(rng.uniform(0.2, 0.9)), 1 - colour.mean() / 255)
    posture = person.posture
    if person.carry is None and rng.random() < 0.3 * variety:
        posture = str(rng.choice(["sit", "crouch", "prone"], p=[0.5, 0.25, 0.25]))
    return replace(person, bgr=bgr, celsius=celsius, posture=posture)


def with_carried_item(
    person: Person, kind: str, rng: np.random.Generator, climate: Climate
) -> Person:
    """The same armed figure with another object in place of its rifle.

    Args:
        person: drawn by :func:`make_person` with ``armed``.
        kind: one of ``WEAPON_KINDS`` or ``LOOKALIKES``.
        rng: source of its size, hold, colour and warmth.
        climate: weather.
    """
    length, hold, celsius, bgr = item_surface(kind, rng, climate)
    posture = person.posture
    if posture == "prone" and kind not in WEAPON_KINDS:
        posture = "stand"
    return replace(
        person,
        kind=kind,
        posture=posture,
        carry="aim" if posture == "prone" else hold,
        rifle_m=length,
        celsius=np.concatenate([person.celsius[: len(_PARTS)], celsius]),
        bgr=np.concatenate([person.bgr[: len(_PARTS)], bgr]),
    )


def _part_surfaces(
    rng: np.random.Generator, climate: Climate, load: str | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Temperature and colour by part."""
    skin_bgr = np.array([118, 148, 196]) * rng.uniform(0.45, 1.1)
    top, legs = _garment_bgr(rng), _garment_bgr(rng) * 0.8
    chilly = float(np.clip((24 - climate.air_c) / 20, 0, 1))
    top_c = _garment_celsius(rng, climate, 0.25 + 0.5 * chilly, top)
    legs_c = _garment_celsius(rng, climate, 0.25 + 0.3 * chilly, legs)
    sleeves = rng.random() < 0.35 + 0.6 * chilly
    shorts = rng.random() < 0.45 * (1 - chilly)
    skin_c = climate.skin()
    hair_c = climate.cloth(0.25, 0.9)
    table = {
        "torso": (top_c, top),
        "belly": (top_c + 0.6, top * 0.94),
        "shoulders": (top_c + 0.3, top * 1.06),
        "neck": (skin_c, skin_bgr),
        "head": (skin_c, skin_bgr),
        "hair": (hair_c, np.array([28, 32, 40]) * rng.uniform(0.5, 2.2)),
        "upper_arm": (top_c - 0.5, top * 0.96),
        "forearm": (top_c - 0.7, top * 0.94) if sleeves else (skin_c - 1.5, skin_bgr),
        "hand": (skin_c - 2.5, skin_bgr),
        "thigh": (legs_c + 0.4, legs),
        "shank": (skin_c - 2, skin_bgr) if shorts else (legs_c - 0.8, legs * 0.95),
        "shoe": (climate.air_c + 2.5, np.array([40, 40, 44]) * rng.uniform(0.5, 4)),
    }
    warmth = [table[part][0] for part in _PARTS]
    colour = [table[part][1] for part in _PARTS]
    if load is not None:
        warmth.append(climate.air_c + 2.0 + 3 * climate.sunlight)
        colour.append(_garment_bgr(rng))
    steel = climate.surface("metal")
    # A hand-held rifle is near the air's warmth; its metal sheds heat to the sky.
    rifle_c = 0.5 * (steel + climate.air_c) + float(rng.uniform(0.0, 5.0))
    warmth += [rifle_c, rifle_c + 1.5, rifle_c + 1.0, rifle_c + 0.5, rifle_c]
    wood = np.array([38, 62, 98]) if rng.random() < 0.4 else np.array([34, 34, 36])
    colour += [np.array([36, 36, 38])] * 2 + [wood, np.array([34, 34, 34]), wood]
    celsius = np.array(warmth) + rng.normal(0, 0.9 + 1.6 * climate.sunlight, len(warmth))
    return celsius.astype(np.float32), np.clip(np.array(colour), 0, 255).astype(np.float32)


def _garment_celsius(
    rng: np.random.Generator, climate: Climate, insulation: float, bgr: Floats
) -> float:
    """Temperature of a garment about this thick and of this colour."""
    thickness = float(np.clip(rng.normal(insulation, 0.15), 0, 1))
    return climate.cloth(thickness, 1 - float(bgr.mean()) / 255)


def _garment_bgr(rng: np.random.Generator) -> Floats:
    """A clothing colour: mostly greys, blues and earths, at times a bright one."""
    base = float(rng.uniform(25, 225))
    spread = 9 if rng.random() < 0.7 else 34
    return np.clip(base + rng.normal(0, spread, 3), 12, 245)


def _limbs(
    posture: str, grip: dict[float, Floats] | None, phase: float, stride: float, build: float
) -> Floats:
    """``(18, 8)`` capsules of a 1.75 m figure at the origin facing +x."""
    lift, lean = {"crouch": (-0.38, 0.12), "sit": (-0.46, 0.02), "run": (0.0, 0.1)}.get(
        posture, (0.0, 0.02)
    )
    bob = 0.02 * stride * np.cos(2 * phase)
    hip_z, neck_z = 0.92 + lift + bob, 1.43 + lift + bob
    chest = np.array([lean, 0.0, neck_z - 0.12])
    parts = [
        [*chest, 0.17 * build, lean * 0.4, 0, hip_z + 0.14, 0.15 * build],
        [lean * 0.4, 0, hip_z + 0.16, 0.15 * build, 0, 0, hip_z, 0.155 * build],
        [lean, 0.17, neck_z - 0.05, 0.075, lean, -0.17, neck_z - 0.05, 0.075],
        [lean, 0, neck_z, 0.055, lean + 0.02, 0, neck_z + 0.1, 0.05],
        [lean + 0.05, 0, neck_z + 0.17, 0.09, lean + 0.05, 0, neck_z + 0.2, 0.095],
        [lean + 0.01, 0, neck_z + 0.2, 0.1, lean + 0.02, 0, neck_z + 0.235, 0.095],
    ]
    for side in SIDES:
        shoulder = np.array([lean, 0.2 * side, neck_z - 0.06])
        parts += _arm(shoulder, side, phase, stride, None if grip is None else grip[side])
    for side in SIDES:
        parts += _leg(posture, side, phase, stride, hip_z)
    body = np.array(parts)
    return _to_prone(body) if posture == "prone" else body


def _to_prone(body: Floats) -> Floats:
    """A standing figure turned face down, head forward."""
    ends = body.reshape(-1, 2, 4).copy()
    x, z = ends[..., 0].copy(), ends[..., 2].copy()
    ends[..., 0], ends[..., 2] = z - 0.9, 0.2 - 0.6 * x
    ends[..., 2] = np.maximum(ends[..., 2], ends[..., 3])
    return ends.reshape(-1, 8)


def _arm(
    shoulder: Floats, side: float, phase: float, stride: float, grip: Floats | None
) -> list[list[float]]:
    if grip is None:
        swing = -0.42 * stride * np.sin(phase) * side
        bend = 0.25 + 0.5 * max(0.0, stride - 0.8)
        elbow = shoulder + 0.29 * np.array([np.sin(swing), 0.1 * side, -np.cos(swing)])
        fore = swing + bend
        wrist = elbow + 0.26 * np.array([np.sin(fore), 0.02 * side, -np.cos(fore)])
    else:
        # Elbow of a bent arm: off the middle of the line, down and outwards.
        wrist = grip
        reach = float(np.linalg.norm(wrist - shoulder))
        sag = np.sqrt(max(0.275**2 - (reach / 2) ** 2, 0.0))
        out = np.array([-0.2, 0.6 * side, -0.75])
        elbow = (shoulder + wrist) / 2 + sag * out / np.linalg.norm(out)
    tip = wrist + (wrist - elbow) * 0.25
    return [
        [*shoulder, 0.07, *elbow, 0.058],
        [*elbow, 0.055, *wrist, 0.042],
        [*wrist, 0.042, *tip, 0.035],
    ]


def _leg(posture: str, side: float, phase: float, stride: float, hip_z: float) -> list[list[float]]:
    hip = np.array([0.0, 0.095 * side, hip_z - 0.04])
    if posture == "crouch":
        knee = hip + (np.array([0.4, 0.05 * side, -0.06]) if side > 0 else [0.1, -0.04, -0.42])
        ankle = np.array([0.36, 0.14, 0.09]) if side > 0 else np.array([-0.34, -0.13, 0.09])
    elif posture == "sit":
        knee = hip + np.array([0.42, 0.06 * side, 0.02])
        ankle = knee + np.array([0.05, 0.0, -0.38])
    else:
        swing = 0.38 * stride * np.sin(phase) * side
        flex = stride * (0.12 + 0.75 * max(0.0, np.cos(phase) * side)) * 0.9
        knee = hip + 0.42 * np.array([np.sin(swing), 0.0, -np.cos(swing)])
        shank = swing - flex
        ankle = knee + 0.4 * np.array([np.sin(shank), 0.0, -np.cos(shank)])
        ankle[2] = max(ankle[2], 0.07)
    toe = ankle + np.array([0.17, 0.02 * side, -0.03])
    return [
        [*hip, 0.1, *knee, 0.075],
        [*knee, 0.07, *ankle, 0.055],
        [*ankle, 0.05, *toe, 0.04],
    ]
