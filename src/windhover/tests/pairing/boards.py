"""Pictures of a checkerboard through a known lens, drawn ray by ray."""

import itertools

import cv2
import numpy as np

from windhover.geometry import Lens

SQUARE_M = 0.06
COLUMNS, ROWS = 8, 5


class BoardPainter:
    """Draws a board through one lens."""

    def __init__(self, lens: Lens):
        self.lens = lens
        x, y = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
        pixels = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
        # Four rays a pixel: edges fall between pixels.
        steps = itertools.product((-0.25, 0.25), repeat=2)
        self.rays = [lens.rays(pixels + step) for step in steps]

    def draw(self, turn, move, dark: float, light: float):
        """Grey ``(H, W)`` float: a board at a pose in the camera's frame."""
        rotation = cv2.Rodrigues(turn)[0]
        normal = rotation[:, 2]
        total = np.zeros(len(self.rays[0]))
        for rays in self.rays:
            reach = (normal @ move) / (rays @ normal)
            local = (rays * reach[:, None] - move) @ rotation
            squares = np.floor(local[:, :2] / SQUARE_M).astype(int) + 1
            inside = ((squares >= 0) & (squares < [COLUMNS + 1, ROWS + 1])).all(axis=1)
            pale = (squares.sum(axis=1) % 2 == 0) | ~inside
            total += np.where(pale, light, dark)
        return (total / len(self.rays)).reshape(self.lens.height, self.lens.width)


def poses(count: int, seed: int = 0):
    """Tilts and places of a board that stays completely in view, in the RGB frame."""
    rng = np.random.default_rng(seed)
    middle = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2, 0]) * SQUARE_M
    for _ in range(count):
        turn = rng.uniform(-0.6, 0.6, 3)
        place = np.array([rng.uniform(-0.15, 0.15), rng.uniform(-0.06, 0.06), 1.0])
        place *= rng.uniform(0.75, 1.1)
        yield turn, place - cv2.Rodrigues(turn)[0] @ middle
