"""Networks with several lines in a file: their lines stay together, are learnt from once, and show the noise.

Lines of one network are no independent samples. If they were split between learning and testing, or left out one at a time,
the network would be predicted from itself, and every stated error would be too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray, IntArray
from latlas.errors import UsageError

MIN_TRAIN = 10


@dataclass(frozen=True, slots=True)
class Repeats:
    """Which lines belong to one network: `group` `(n,)` numbers the networks in the order of their first lines."""

    group: IntArray

    @classmethod
    def of(cls, rows: npt.ArrayLike) -> Repeats:
        """The repeats in rows `(n, features)`: equal rows are one network."""
        array = np.ascontiguousarray(rows)
        _, first, inverse = np.unique(array, axis=0, return_index=True, return_inverse=True)
        rank = np.empty(len(first), dtype=int)
        rank[np.argsort(first)] = np.arange(len(first))
        return cls(rank[inverse.reshape(-1)])

    @property
    def repeated(self) -> int:
        """How many networks have more than one line."""
        return int(np.count_nonzero(np.bincount(self.group) > 1))

    def split(self, train: int, test: int | None, seed: int) -> tuple[IntArray, IntArray]:
        """Which lines to learn from, and which to test on: all others, or only `test` of them; drawn with the seed.

        All lines of a network are on one side, so either side may have fewer lines than asked for.
        """
        count, wanted = len(self.group), 1 if test is None else test
        if train < MIN_TRAIN:
            raise UsageError(f"--train is {train}; at least {MIN_TRAIN} samples are learnt from")
        if train + wanted > count or wanted < 1:
            raise UsageError(
                f"{count} samples cannot be parted into {train} to learn from and {wanted} to test on; give fewer"
            )
        sizes = np.bincount(self.group)
        order = np.random.default_rng(seed).permutation(len(sizes))
        train_networks, others = _filled(order, sizes, train)
        held_out = others if test is None else _filled(others, sizes, test)[0]
        lines = int(sizes[train_networks].sum())
        if lines < MIN_TRAIN or not len(held_out):
            raise UsageError(
                f"{count} samples are of {len(sizes)} different networks, all lines of one on one side: {lines} lines would be "
                f"learnt from and {int(sizes[held_out].sum())} tested on; give more networks, or another --train than {train}"
            )
        return np.flatnonzero(np.isin(self.group, train_networks)), np.flatnonzero(np.isin(self.group, held_out))

    def collapsed(self, lines: IntArray, latencies: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
        """One line for each network among `lines`, the median of its latencies, and the network that each line belongs to.

        With fewer than `MIN_TRAIN` networks every line counts as a network, because a regressor needs that many.
        """
        if len(np.unique(self.group[lines])) < MIN_TRAIN:
            return lines, latencies[lines], np.arange(len(lines))
        _, first, inverse = np.unique(self.group[lines], return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.argsort(order)[inverse.reshape(-1)]
        values = latencies[lines]
        medians = np.array([np.median(values[place == network]) for network in range(len(order))])
        return lines[first[order]], medians, place

    def noise_floor(self, latencies: FloatArray) -> float | None:
        """The mean relative difference of two latencies of one network, over networks; None if each has only one line."""
        differences = []
        for network in np.flatnonzero(np.bincount(self.group) > 1):
            values = np.sort(latencies[self.group == network])
            count = len(values)
            # The mean over all pairs, as one sum over sorted values.
            pairs = float(np.sum((2 * np.arange(count) - count + 1) * values)) / (count * (count - 1) / 2)
            differences.append(pairs / float(values.mean()))
        return float(np.mean(differences)) if differences else None


def _filled(order: IntArray, sizes: IntArray, wanted: int) -> tuple[IntArray, IntArray]:
    """Networks of `order`, taken in turn while they have at most `wanted` lines together, and the other networks."""
    taken, lines = [], 0
    for network in order.tolist():
        if lines + sizes[network] <= wanted:
            taken.append(network)
            lines += int(sizes[network])
    chosen = np.array(taken, dtype=int)
    return chosen, order[~np.isin(order, chosen)]
