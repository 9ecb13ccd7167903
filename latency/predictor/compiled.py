"""A predictor compiled for the networks of a template: it turns integer codes into milliseconds and bounds, vectorised.

Every feature is a sum over nodes and edges. So a linear prediction is a constant, plus one number for each column's code,
plus one for each pair of codes whose operators meet. Predicting only looks these up. The variance of a prediction is a
quadratic form of the features, so it is a sum over pairs of such terms and has tables of its own. Both are exact; no feature
is computed for a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, product

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor.features import edge_features, node_features, unit_cost
from latlas.latency.predictor.predictor import CONSTANT, LatencyPredictor
from latlas.latency.predictor.predicts import Prediction
from latlas.spaces.codes import Template, check_codes
from latlas.spaces.graph import INPUT
from latlas.spaces.operators.spec import kind_of
from latlas.spaces.space import Architecture

CHUNK = 16384
"""How many networks are predicted at once: few enough that the work stays in the cache."""
MAX_TABLE = 4_000_000
"""The most entries of a table of pairs; a template with larger tables is not compiled."""


class CompiledPredictor:
    """Predicts milliseconds and bounds of codes `(n, columns)`.

    The prediction is the sum of `constant`, `unary` (one array of options a column) and `pairwise` (by columns,
    `(options, options)`), but at least `floor_ms`. Raises `UsageError` for a template that is too large, or whose networks do
    not all have the same live nodes.

    Example:
        >>> import latlas, numpy as np
        >>> saved = latlas.load_predictor("predictor")
        >>> compiled = CompiledPredictor(saved.predictor, saved.space.template())
        >>> candidates = saved.space.sample(100, np.random.default_rng(0))
        >>> [one] = compiled.predict(candidates[:1])
        >>> one.lower_ms < one.latency_ms < one.upper_ms
        True
        >>> compiled.latency_ms(saved.space.encode(candidates)).shape
        (100,)
    """

    def __init__(self, predictor: LatencyPredictor, template: Template) -> None:
        _require_live(template)
        self.predictor, self.template, self.sizes = predictor, template, template.sizes
        terms = _Terms(predictor, template)
        coef = terms.coef
        self.floor_ms = predictor.range_ms_[0] / 10
        self.constant = float(terms.constant @ coef)
        self.unary = [vectors @ coef for vectors in terms.unary]
        self.pairwise = {columns: vectors @ coef for columns, vectors in terms.pairwise.items()}
        self._blocks = _blocks(template.sizes, list(self.pairwise))
        vectors = terms.of_blocks(self._blocks)
        self._latency = [block @ coef for block in vectors]
        _require_few(vectors)
        self._vectors, self._covariance = vectors, terms.covariance

    @cached_property
    def _variance(self) -> dict[tuple[int, int], FloatArray]:
        """The `_variances` of the blocks; this is most of the work of compiling, and only intervals need it."""
        return dict(_variances(self._vectors, self._covariance))

    def predict(self, networks: Sequence[Architecture] | Codes, confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds of each network with the bounds of its interval, as every kind of predictor gives them.

        Args:
            networks: Searchable architectures of the space whose template it was compiled for, or their codes `(n, columns)`.
            confidence: Share of networks whose measured latency the intervals hold, at least; between 0 and 1.

        Raises:
            UsageError: One is a baseline, of another space, or no code of the template.
        """
        codes = networks if isinstance(networks, np.ndarray) else self._codes(networks)
        rows = self.predict_interval(codes, confidence)
        return [Prediction(*row) for row in zip(*(values.tolist() for values in rows), strict=True)]

    def latency_ms(self, codes: Codes) -> FloatArray:
        """Milliseconds `(n,)`."""
        found = [self._linear(self._indices(part)) for part in _parts(codes, self.sizes)]
        return np.maximum(np.concatenate(found or [np.empty(0)]), self.floor_ms)

    def predict_interval(self, codes: Codes, confidence: float = 0.95) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Milliseconds, lower and upper bounds, `(n,)` each, as `LatencyPredictor.predict_interval` gives them."""
        found = [self._interval(self._indices(part), confidence) for part in _parts(codes, self.sizes)]
        if not found:
            return np.empty(0), np.empty(0), np.empty(0)
        latency, lower, upper = (np.concatenate(values) for values in zip(*found, strict=True))
        return latency, lower, upper

    def _codes(self, architectures: Sequence[Architecture]) -> Codes:
        """The codes `(n, columns)` of architectures of one space, whose operators must match the template."""
        if not architectures:
            return np.empty((0, len(self.sizes)), dtype=np.int64)
        space, graph = architectures[0].space, architectures[0].graph()
        slots = self.template.slots
        if len(graph) != len(slots) or any(
            node.spec not in slot.options for node, slot in zip(graph, slots, strict=True)
        ):
            raise UsageError(f"{architectures[0]} is of {space.text}; the predictor was compiled for another space")
        return space.encode(architectures)

    def _interval(self, indices: list[Codes], confidence: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        linear = self._linear(indices)
        variance = np.zeros(len(linear))
        for (one, other), table in self._variance.items():
            variance += table[indices[one] * len(self._latency[other]) + indices[other]]
        margins = self.predictor.margins(self.predictor.model_.spread_of(linear, variance), confidence)
        latency = np.maximum(linear, self.floor_ms)
        return latency, latency * (1 - margins), latency * (1 + margins)

    def _linear(self, indices: list[Codes]) -> FloatArray:
        """Milliseconds before the lower limit."""
        total = self._latency[0][indices[0]]
        for latency, index in zip(self._latency[1:], indices[1:], strict=True):
            total = total + latency[index]
        return total

    def _indices(self, codes: Codes) -> list[Codes]:
        """The row of each network in each block's table."""
        columns = np.ascontiguousarray(codes.T).astype(np.intp)
        indices = []
        for block in self._blocks:
            index = columns[block[0]]
            for column in block[1:]:
                index = index * self.sizes[column] + columns[column]
            indices.append(index)
        return indices


def _parts(codes: Codes, sizes: tuple[int, ...]) -> Iterator[Codes]:
    """The codes, one chunk at a time; raises `UsageError` if they are no codes of these sizes."""
    rows = check_codes(codes, sizes)
    return (rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK))


def _require_live(template: Template) -> None:
    """Raises `UsageError` if some networks of a template have nodes that are not executed."""
    zeros = any(kind_of(spec.kind).gives_zeros for slot in template.slots for spec in slot.options)
    if zeros or not template.live(np.zeros((1, len(template.sizes)), dtype=np.int64)).all():
        raise UsageError("the template's networks have dead branches; predict from their graphs")


class _Terms:
    """Feature vectors that sum to a network's features, and the features' coefficients.

    The vectors are `constant` `(F,)`, `unary` `(options, F)` for each column, and `pairwise` `(options, options, F)`. The
    coefficients have the values `coef` `(F,)` and the `covariance` `(F, F)`. Features that the predictor has never seen come
    last; only the prior is known of their coefficients.
    """

    def __init__(self, predictor: LatencyPredictor, template: Template) -> None:
        cost_of = predictor.cost_of or unit_cost
        nodes = [[node_features(spec, cost_of(spec)) for spec in slot.options] for slot in template.slots]
        edges = [
            (slot, source, [[edge_features(a, b) for b in slot.options] for a in template.slots[source].options])
            for slot in template.slots
            for source in slot.inputs
            if source != INPUT
        ]
        known = [*predictor.names_, CONSTANT]
        named = [*chain.from_iterable(nodes), *chain.from_iterable(row for _, _, rows in edges for row in rows)]
        unseen = sorted({name for found in named for name in found} - set(known))
        column = {name: index for index, name in enumerate([*known, *unseen])}

        def vector(found: dict[str, float]) -> FloatArray:
            row = np.zeros(len(column))
            row[[column[name] for name in found]] = list(found.values())
            return row

        self.coef = np.concatenate([predictor.model_.coef_, np.zeros(len(unseen))])
        prior = [predictor.prior_spread(name) ** 2 for name in unseen]
        known_covariance = predictor.model_.covariance_
        self.covariance = np.diag(np.concatenate([np.zeros(len(known_covariance)), prior]))
        self.covariance[: len(known_covariance), : len(known_covariance)] = known_covariance
        self.sizes = template.sizes
        self.constant = vector({CONSTANT: 1.0})
        self.unary = [np.zeros((size, len(column))) for size in template.sizes]
        self.pairwise: dict[tuple[int, int], FloatArray] = {}
        for slot, options in zip(template.slots, nodes, strict=True):
            self._add((slot.column,), lambda codes, options=options: vector(options[codes[0]]))  # type: ignore[misc]
        for slot, source, rows in edges:
            columns = (template.slots[source].column, slot.column)
            self._add(columns, lambda codes, rows=rows: vector(rows[codes[0]][codes[1]]))  # type: ignore[misc]

    def _add(self, columns: tuple[int | None, ...], vector_of: Callable[[tuple[int, ...]], FloatArray]) -> None:
        """Add the vectors of a node or an edge to the term of the columns that they depend on."""
        free = sorted({column for column in columns if column is not None})
        for codes in product(*(range(self.sizes[column]) for column in free)):
            code = dict(zip(free, codes, strict=True))
            value = vector_of(tuple(0 if column is None else code[column] for column in columns))
            if not free:
                self.constant += value
            elif len(free) == 1:
                self.unary[free[0]][codes[0]] += value
            else:
                first, second = free
                shape = (self.sizes[first], self.sizes[second], len(value))
                self.pairwise.setdefault((first, second), np.zeros(shape))[codes] += value

    def of_blocks(self, blocks: list[tuple[int, ...]]) -> list[FloatArray]:
        """The vectors `(rows, F)` of each block: its pair's term, plus each column's own term in the column's first block."""
        taken: set[int] = set()
        found = []
        for block in blocks:
            sizes = [self.sizes[column] for column in block]
            vectors = self.pairwise[block].copy() if len(block) == 2 else np.zeros((*sizes, len(self.constant)))
            for axis, column in enumerate(block):
                if column not in taken:
                    taken.add(column)
                    own = self.unary[column]
                    vectors += own.reshape([-1 if a == axis else 1 for a in range(len(block))] + [own.shape[1]])
            found.append(vectors.reshape(-1, vectors.shape[-1]))
        found[0] = found[0] + self.constant
        return found


def _blocks(sizes: tuple[int, ...], pairs: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Pairs of columns whose operators meet, and single columns that are in no pair."""
    paired = {column for pair in pairs for column in pair}
    return [*sorted(pairs), *((column,) for column in range(len(sizes)) if column not in paired)]


def _require_few(vectors: list[FloatArray]) -> None:
    """Raises `UsageError` if the tables of `_variances` would be too large."""
    total = sum(len(one) for one in vectors)
    if total**2 > 2 * MAX_TABLE * len(vectors):
        raise UsageError(f"{total} pairs of options meet in the template; too many to compile, predict from graphs")


def _variances(vectors: list[FloatArray], covariance: FloatArray) -> Iterator[tuple[tuple[int, int], FloatArray]]:
    """For each pair of blocks a flat table of what the pair adds to a prediction's variance, in ms^2."""
    for i, one in enumerate(vectors):
        spread = one @ covariance
        yield (i, i), _on_diagonal(np.einsum("ij,ij->i", spread, one))
        for j in range(i + 1, len(vectors)):
            yield (i, j), 2 * (spread @ vectors[j].T).ravel()


def _on_diagonal(values: FloatArray) -> FloatArray:
    return np.diag(values).ravel()
