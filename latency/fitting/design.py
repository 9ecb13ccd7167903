"""Designs the subnets to measure: a nearly orthogonal array over the layers of a chain space.

An additive latency is learnt best if the operators of different layers occur independently: each pair of operators at two
layers as often as any other pair. Random subnets have that only on average; a design has it in each count. Exchanges within
columns minimise Xu's J2, the sum over pairs of subnets of their squared number of coincidences (H. Xu, *An algorithm for
constructing orthogonal and nearly-orthogonal arrays with mixed levels and small runs*, Technometrics 44, 2002). To second
order the design is D-optimal: if latencies have a prior covariance K of coincidences, log det(I + K / noise^2) falls with
the squares off K's diagonal.

An operator's latency depends a little on the operator before it. So a coincidence of two adjacent layers counts extra, and
the pairs of adjacent operators are spread evenly first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.spaces.space import Architecture, SearchSpace, enumerate_space

ADJACENT_WEIGHT = 0.5
"""The extra weight of a coincidence of two adjacent layers; each single layer counts 1."""
MAX_SWEEPS = 30


def designed(space: SearchSpace, count: int, seed: int = 0, given: Sequence[Architecture] = ()) -> list[Architecture]:
    """The `count` different architectures from which the operators' in-network latencies are learnt best.

    Every operator of a layer occurs equally often, give or take one. If some are `given`, which are measured already, the new
    ones complete them and repeat none. The first few are spread well too, so measuring may stop early. A space with fewer
    architectures gives all it has. The same arguments give the same architectures.

    Example:
        >>> from latlas.spaces.portrait import PortraitSpace
        >>> subnets = designed(PortraitSpace(), 14)
        >>> sorted(subnet.operators[0] for subnet in subnets)[:3]
        ['dilconv_k3', 'dilconv_k3', 'dilconv_k5']
    """
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    chain = [one for one in given if not one.is_baseline]
    if any(one.space != space for one in chain):
        raise UsageError(f"given architectures are not all of {space.text}")
    taken = set(chain)
    if space.size <= count + len(taken):
        return [one for one in enumerate_space(space) if one not in taken]
    rng = np.random.default_rng(seed)
    index = [{name: code for code, name in enumerate(options)} for options in space.choices]
    before = np.array([[of[name] for of, name in zip(index, one.operators, strict=True)] for one in chain], dtype=int)
    before = before.reshape(len(chain), len(index))
    sizes = [len(options) for options in space.choices]
    columns = [_fill(before[:, layer], size, count, rng) for layer, size in enumerate(sizes)]
    codes = _exchanged(np.concatenate([before, np.stack(columns, axis=1)]), len(chain), sizes)
    found: dict[Architecture, None] = {}
    for row in codes[_order(codes, len(chain))]:
        one = space.architecture([options[code] for options, code in zip(space.choices, row, strict=True)])
        if one not in taken:
            found[one] = None
    while len(found) < count:  # replace repeats, which only small spaces have
        one = space.random(rng)
        if one not in taken:
            found[one] = None
    return list(found)


def _fill(before: Codes, size: int, count: int, rng: np.random.Generator) -> Codes:
    """`count` codes of a layer in random order; together with the codes `before`, all codes occur as evenly as possible."""
    used = np.bincount(before, minlength=size).astype(float)
    column = []
    for _ in range(count):
        code = int(np.argmin(used + rng.random(size) / 2))
        used[code] += 1
        column.append(code)
    return rng.permutation(np.array(column))


def _exchanged(codes: Codes, first: int, sizes: Sequence[int]) -> Codes:
    """The codes after exchanges within columns, from row `first` on, until no exchange lowers J2."""
    codes = codes.copy()
    for _ in range(MAX_SWEEPS):
        if not sum(_exchange_column(codes, first, layer, size) for layer, size in enumerate(sizes)):
            break
    return codes


def _exchange_column(codes: Codes, first: int, layer: int, size: int) -> int:
    """Exchange within one column, the best pair of rows each time; returns how many exchanges were made."""
    same, both = _coincidences(codes)
    weight = np.ones(same.shape[:2])
    for neighbour in (layer - 1, layer + 1):
        if 0 <= neighbour < codes.shape[1]:
            weight += ADJACENT_WEIGHT * same[:, :, neighbour]
    others = both - weight * same[:, :, layer]
    # How much a coincidence of two rows in this column adds to their squared similarity.
    cost = 2 * others * weight + weight**2
    np.fill_diagonal(cost, 0.0)
    column, done = codes[:, layer], 0
    while True:
        by_code = cost @ np.eye(size)[column]  # (rows, codes): the cost of each row if it had that code
        moved = by_code[:, column] - by_code[np.arange(len(codes)), column][:, None]  # row i to the code of row j
        change = moved + moved.T - 2 * cost
        change[column[:, None] == column[None, :]] = 0.0
        change[:first] = change[:, :first] = 0.0
        i, j = np.unravel_index(np.argmin(change), change.shape)
        if change[i, j] > -1e-9:
            return done
        column[i], column[j] = column[j], column[i]
        done += 1


def _coincidences(codes: Codes) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Where two rows have the same code, `(rows, rows, layers)`, and their weighted sum, `(rows, rows)`."""
    same = codes[:, None, :] == codes[None, :, :]
    return same, same.sum(axis=2) + ADJACENT_WEIGHT * (same[:, :, 1:] & same[:, :, :-1]).sum(axis=2)


def _order(codes: Codes, first: int) -> list[int]:
    """The rows from `first` on, in order: the next is always the row that coincides least with the rows before."""
    squared = _coincidences(codes)[1] ** 2
    cost, left, order = squared[:, :first].sum(axis=1), list(range(first, len(codes))), []
    while left:
        chosen = min(left, key=lambda row: (cost[row], row))
        left.remove(chosen)
        order.append(chosen)
        cost = cost + squared[:, chosen]
    return order
