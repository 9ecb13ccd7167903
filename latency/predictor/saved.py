"""A predictor with the environment, the space and the samples that it is tied to."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.files.records import from_record, one_line
from latlas.latency.machine.environment import Environment
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predicts import HasGraph, Prediction
from latlas.spaces.graph import Graph
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import architecture_in, parse_space

log = logging.getLogger(__name__)

ROLES = ("train", "test", "search")


@dataclass(frozen=True, slots=True)
class PredictorSample:
    """A network that a predictor was learnt from or tested on, with its measured and predicted milliseconds.

    If the network was learnt from, `predicted_ms` is the prediction from the other networks. `role` is `train`, `test`, or
    `search` for a network that a search measured.
    """

    architecture: str
    latency_ms: float
    lower_ms: float
    upper_ms: float
    predicted_ms: float
    role: str

    def __post_init__(self) -> None:
        numbers = (self.lower_ms, self.latency_ms, self.upper_ms, self.predicted_ms)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise UsageError(
                f"{one_line(self.architecture, 80)}: its milliseconds are {numbers}; they must be positive"
            )
        if self.role not in ROLES:
            raise UsageError(f"role is {one_line(self.role, 40)!r}; known: {', '.join(ROLES)}")

    def to_record(self) -> dict[str, Any]:
        """Every field by name; `from_record` reads it back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object, what: str = "a sample") -> PredictorSample:
        """The sample of a record; raises `FileFormatError` for unknown, missing or impossible fields."""
        return from_record(cls, record, what)


@dataclass(frozen=True, slots=True)
class SavedPredictor:
    """A predictor with the environment and the space that it is tied to.

    Args:
        predictor: Predicts milliseconds from graphs.
        environment: Where its samples were measured.
        space_text: The text of its space, such as `portrait:height=128,width=128`; `space` is the space itself.
        figures: What `fit-predictor --json` printed.
        samples: The networks that it was learnt from and tested on.
        adapted_from: The predictors of other environments that it was adapted from; empty for one learnt here.
    """

    predictor: LatencyPredictor
    environment: Environment
    space_text: str
    figures: dict[str, Any]
    samples: tuple[PredictorSample, ...] = ()
    adapted_from: tuple[dict[str, Any], ...] = field(default=())

    @property
    def space(self) -> SearchSpace:
        """The space whose networks it predicts; raises `UnknownSpaceError` if the space's name is not registered."""
        return parse_space(self.space_text)

    def __repr__(self) -> str:
        """One line: space, device, precision, threads and error."""
        its = self.environment
        figures = [f"MAPE {100 * self.figures['mape']:.2f} %"] if "mape" in self.figures else []
        told = [self.space_text, its.cpu_model, f"{its.precision}, {its.threads} thread(s)", *figures]
        return f"<SavedPredictor: {'; '.join(told)}>"

    def predict(self, networks: Sequence[HasGraph | Graph | str], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds of each network with the bounds of its interval, as in the session that the predictor was learnt in.

        Args:
            networks: Architectures of `space`, as objects or as texts, or graphs, or anything with a `graph()`. A text such as
                `portrait/mobilenetv3_large`, a baseline after the space's bare name, is that baseline in `space`.
            confidence: Share of networks whose measured latency the intervals hold, at least; between 0 and 1.

        Raises:
            EnvironmentMismatchError: An architecture is of another space; the message names both.
            UsageError: A text is no architecture of the space.

        Example:
            >>> import latlas
            >>> predictor = latlas.load_predictor("predictor")
            >>> one = predictor.predict(predictor.space.cover()[:1])[0]
            >>> one.lower_ms < one.latency_ms < one.upper_ms
            True
        """
        known = [architecture_in(self.space, one, log.warning) if isinstance(one, str) else one for one in networks]
        self.require_own(known)
        return self.predictor.predict(known, confidence)

    def require_own(self, networks: Sequence[object]) -> None:
        """Raises `EnvironmentMismatchError` if an architecture is of another space; the message names both spaces."""
        first = {id(one.space): one for one in networks if isinstance(one, Architecture)}
        for one in first.values():
            if one.space.text != self.space_text:
                raise EnvironmentMismatchError(
                    f"{one} is of {one.space.text}, the predictor is of {self.space_text}; take architectures of "
                    "`predictor.space`, or make a predictor of theirs with `latlas fit-predictor`"
                )

    def require(self, space: str, **options: str | int) -> None:
        """Raises `EnvironmentMismatchError` if the space or an option such as `threads=1` differs."""
        mine = {"space": self.space_text} | {name: getattr(self.environment, name) for name in options}
        differing = [
            f"{name} is {mine[name]!r}, asked for {value!r}"
            for name, value in ({"space": space} | options).items()
            if mine[name] != value
        ]
        if differing:
            raise EnvironmentMismatchError(
                f"the predictor is of another environment: {'; '.join(differing)}; adapt it with a few subnets "
                "(`latlas predictor adapt`), or make one with `latlas fit-predictor`"
            )
