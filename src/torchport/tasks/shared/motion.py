"""Where things will be in the next frame: a Kalman filter of constant velocity for many boxes at once. numpy only.

The state is that of BoT-SORT (Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022): centre,
width and height of a box and their velocities, with noise in proportion to the box's own width and height. Its noise
matrices are diagonal, so that the filter of eight numbers is exactly four filters of two (a place and its velocity),
one for each of x, y, width and height. Here these are computed as arrays over all boxes, which a frame of 150 boxes
needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Motion:
    """The filters of n boxes; every array is float64 [n, 4] in the order x, y, width, height.

    Attributes:
        place: centre and size.
        velocity: change a frame.
        pp, pv, vv: variance of the place, covariance of place and velocity, variance of the velocity.
        noise_place, noise_velocity: standard deviations as a share of the box's width (for x and width) and height (for
        y and height).
    """

    place: np.ndarray
    velocity: np.ndarray
    pp: np.ndarray
    pv: np.ndarray
    vv: np.ndarray
    noise_place: float = 1 / 20
    noise_velocity: float = 1 / 160

    @classmethod
    def begin(cls, place: np.ndarray, noise_place: float = 1 / 20, noise_velocity: float = 1 / 160) -> Motion:
        """Filters of boxes seen for the first time, at rest: float64 [n, 4]."""
        scale = _scale(place)
        zeros = np.zeros_like(place)
        return cls(
            place,
            zeros,
            (2 * noise_place * scale) ** 2,
            zeros,
            (10 * noise_velocity * scale) ** 2,
            noise_place,
            noise_velocity,
        )

    def predict(self) -> None:
        """Move every box on by one frame."""
        scale = _scale(self.place)
        self.place = self.place + self.velocity
        self.place[:, 2:] = np.maximum(
            self.place[:, 2:], 1e-3
        )  # a box that shrinks does not turn inside out while it is out of sight
        self.pp = self.pp + 2 * self.pv + self.vv + (self.noise_place * scale) ** 2
        self.pv = self.pv + self.vv
        self.vv = self.vv + (self.noise_velocity * scale) ** 2

    def update(self, rows: np.ndarray, seen: np.ndarray) -> None:
        """Correct the boxes of some rows by where they were seen: float64 [len(rows), 4]."""
        pp, pv, vv = self.pp[rows], self.pv[rows], self.vv[rows]
        total = pp + (self.noise_place * _scale(self.place[rows])) ** 2
        off = seen - self.place[rows]
        self.place[rows] += pp / total * off
        self.velocity[rows] += pv / total * off
        self.pp[rows], self.pv[rows], self.vv[rows] = pp - pp * pp / total, pv - pp * pv / total, vv - pv * pv / total

    def restart(self, rows: np.ndarray, seen: np.ndarray) -> None:
        """Put the boxes of some rows somewhere else and keep their velocity: they did not get there by moving."""
        fresh = Motion.begin(seen, self.noise_place, self.noise_velocity)
        self.place[rows], self.pp[rows], self.pv[rows] = seen, fresh.pp, 0.0
        self.vv[rows] = np.maximum(self.vv[rows], fresh.vv)

    def keep(self, rows: np.ndarray, more: Motion | None = None) -> Motion:
        """The filters of some rows, and after them those of `more`."""
        own = [array[rows] for array in self._arrays()]
        if more is not None:
            own = [np.concatenate(pair) for pair in zip(own, more._arrays(), strict=True)]
        place, velocity, pp, pv, vv = own
        return Motion(place, velocity, pp, pv, vv, self.noise_place, self.noise_velocity)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.place, self.velocity, self.pp, self.pv, self.vv


def _scale(place: np.ndarray) -> np.ndarray:
    return np.tile(np.maximum(place[:, 2:], 1e-3), 2)
