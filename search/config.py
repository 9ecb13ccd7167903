"""The options of a search, each a field, and the checks that they go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latlas.errors import UsageError
from latlas.option import check_options, option
from latlas.search.strategies.names import (
    ARCH_TRAININGS,
    LATENCY_LOSSES,
    OPTUNA_STRATEGIES,
    PREDICTED_STRATEGIES,
    REGISTRY,
    SEARCHED_BY,
    TRAINED_STRATEGIES,
    StrategyEntry,
)
from latlas.supernet.training.devices import DEVICES

if TYPE_CHECKING:
    from latlas.supernet.training.train import TrainConfig

LEAST_PREDICTED = 13
"""A search by predicted quality needs at least so many evaluations: ten to learn from, and one per round."""

TRAINING = "Training"
BUDGET = "Budget and measuring"
STUDY = "Fronts, shared studies"
GRADIENT = "Trained strategies"
PREDICTED = "Predicted quality"
OUTPUT = "Comparison, output"


def read_budget(text: str) -> float | str | None:
    """The budget that a text gives: a positive number of milliseconds, the name of a baseline, or None for `auto`."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        from latlas.spaces.text import SPACES

        if any(kind().is_baseline(text) for kind in SPACES.loadable()):
            return text
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"--budget-ms is {text!r}; it must be a positive number, the name of a baseline, or auto")
    return value


def read_names(text: str) -> tuple[str, ...]:
    """The different names in a text that separates them by commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(","))) if text else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """The options of a search. The help of each field explains it.

    Winner and baseline both start from nothing and are trained equally long. With `inherit`, the winner and the finalists start
    from the supernet's weights instead. A step of the supernet updates one operator of each layer, so the baseline is trained
    longer: by the supernet's steps divided by the number of operators of a layer. This pays only if the supernet was trained for
    very long: after 800 supernet steps and 350 more a subnet had 65.1 % mIoU; after 350 steps from nothing it had 67.6 %.

    `proxyless` strategies first train a distribution over architectures, for half of `time_limit_s` at most. Adam moves an
    architecture parameter by about `arch_learning_rate` per step; ProxylessNAS's 0.001 is for a hundred times as many steps. With
    `alternating`, a copy of the supernet is trained in turns with the distribution, and everything later uses that copy. With a
    `latency_loss`, this training does not keep the budget (the usual method, for comparison), but the candidates do.

    With `accuracy_predictor`, seven tenths of the evaluations are drawn at random, and quality is learnt from their scores. The
    strategy then searches over the predicted quality in three rounds, and the networks of best predicted quality are scored.

    Attributes:
        budget_ms: Milliseconds, or the name of a baseline for its measured latency; None for the latency of `baseline`.
        baseline: The baseline's name; "" for the space's default.
        own_strategy: Whether the caller made the strategy, so that its name need not be known.
        confidence: A candidate must be within the budget with this confidence.
        supernet_steps: How many steps the supernet was trained.
        supernet_size: Height and width of the supernet's training images; candidates are scored at it. None for the data's size.
        log_every: Steps between two reports of a training.
        checkpoint_every_s: Seconds between two saves of a training.
    """

    budget_ms: float | str | None = option(
        None,
        "Milliseconds, or the name of a baseline; auto: as --baseline takes.",
        above=0,
        metavar="MS",
        read=read_budget,
        shown="auto",
    )
    baseline: str = option(
        "", "Network to compare with, such as mobilenetv3_large_x0.75.", metavar="NAME", shown="the space's"
    )
    strategy: str = option(
        "evolution",
        f"{', '.join(SEARCHED_BY)}; optuna-* need optuna.",
        offered=REGISTRY.names,
        metavar="NAME",
    )
    evaluations: int = option(100, "Candidates to score.", at_least=1)
    finalists: int = option(9, "Best candidates, which are measured and trained.", at_least=1)
    train_steps: int = option(1500, "Steps that the winner is trained, and the baseline too.", at_least=1)
    time_limit_s: float | None = option(
        None,
        "Seconds after which no more candidates are scored.",
        at_least=0,
        name="time-limit",
        metavar="S",
    )
    seed: int = option(0, "Seed of all random choices.", at_least=0, at_most=2**31 - 1)
    device: str = option("auto", "Where networks are trained: auto, cpu or cuda.", choices=DEVICES)

    batch_size: int = option(16, "Images of a training step.", group=TRAINING, at_least=2)
    learning_rate: float = option(
        2e-3, "Learning rate of winner, finalists and baseline, with AdamW.", group=TRAINING, above=0, at_most=1
    )
    inherit: bool = option(
        False, "Go on from the supernet's weights. The baseline is trained longer for it.", group=TRAINING
    )
    halving_steps: int = option(
        150,
        "Steps that each finalist is trained. The best third goes on for three times as many, and so on. 0 trains none.",
        group=TRAINING,
        at_least=0,
    )
    score_images: int = option(600, "Training images that a candidate is scored on.", group=TRAINING, at_least=1)

    min_use: float = option(
        0.9,
        "Share of the budget that a candidate must use at least; 0 for any. The limit falls if the space has no such network.",
        group=BUDGET,
        at_least=0,
        below=1,
    )
    max_measurements: int = option(30, "Measurements that may decide on doubtful candidates.", group=BUDGET, at_least=0)

    storage: str | None = option(
        None,
        "Where an Optuna strategy keeps its trials: sqlite:///search.db, or a journal file.",
        group=STUDY,
    )
    study: str | None = option(
        None,
        "Name of the study in that storage. Searches of one name share it, and each checks the best of the others.",
        group=STUDY,
    )
    near_share: float = option(
        0.5, "Share of near_best's draws that are near the best seen.", group=STUDY, at_least=0, at_most=1
    )

    arch_steps: int = option(
        500, "Steps that proxyless strategies train their architecture parameters.", group=GRADIENT, at_least=1
    )
    arch_learning_rate: float = option(
        0.01,
        "Adam's learning rate for architecture parameters. ProxylessNAS's 0.001 is for many more steps.",
        group=GRADIENT,
        above=0,
    )
    arch_training: str = option(
        "decoupled",
        "decoupled: the supernet's weights stay fixed. alternating: as in ProxylessNAS, a copy's weights and the architecture "
        "parameters take steps in turns.",
        group=GRADIENT,
        choices=ARCH_TRAININGS,
    )
    weight_learning_rate: float = option(
        0.025, "Learning rate of the weights in alternating training.", group=GRADIENT, above=0
    )
    latency_loss: str | None = option(
        None,
        "sum or product: train architecture parameters with a soft latency loss, not within the budget.",
        group=GRADIENT,
        choices=LATENCY_LOSSES,
    )
    latency_weight: float = option(
        0.2, "Strength of the sum, or exponent of the product, at the budget.", group=GRADIENT, at_least=0
    )

    accuracy_predictor: bool = option(
        False,
        "Score most candidates at random, learn quality from them, search over the prediction, and score the best.",
        group=PREDICTED,
    )
    predicted: int = option(2000, "Evaluations of each search over predicted quality.", group=PREDICTED, at_least=1)

    rivals: tuple[str, ...] = option(
        (),
        "More baselines, separated by commas. They are trained, exported and measured like the first.",
        group=OUTPUT,
        read=read_names,
    )
    onnx: bool | None = option(
        None, "Write the winner as ONNX too. Default: where its packages are installed.", group=OUTPUT, negated=True
    )

    own_strategy: bool = False
    confidence: float = 0.95
    supernet_steps: int = 0
    supernet_size: tuple[int, int] | None = None
    log_every: int = 20
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        check_options(self)
        _ = self.strategy_entry
        if self.baseline and len({self.baseline, *self.rivals}) != 1 + len(self.rivals):
            raise UsageError(f"rivals are {', '.join(self.rivals)} beside {self.baseline}; name each baseline once")
        self._check_study()
        self._check_gradients()
        self._check_predicted()

    def _check_study(self) -> None:
        if self.storage is not None and not self.strategy_entry.stored:
            raise UsageError(
                f"strategy {self.strategy!r} keeps nothing in a storage; one of {', '.join(OPTUNA_STRATEGIES)} does"
            )
        if bool(self.storage) != bool(self.study):
            given, lacking = ("storage", "study") if self.storage else ("study", "storage")
            raise UsageError(f"a {given} is given and no {lacking}; give both, or neither")

    def _check_gradients(self) -> None:
        for name, asked in (("arch_training", self.alternating), ("latency_loss", self.latency_loss)):
            if asked and not self.strategy_entry.trained:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}, and strategy {self.strategy!r} trains no architecture parameters; "
                    f"{' and '.join(TRAINED_STRATEGIES)} do"
                )

    def _check_predicted(self) -> None:
        if not self.accuracy_predictor:
            return
        if not self.strategy_entry.predicted:
            raise UsageError(
                f"strategy {self.strategy!r} does not search over predicted quality; "
                f"with an accuracy predictor take one of {', '.join(PREDICTED_STRATEGIES)}"
            )
        if self.evaluations < LEAST_PREDICTED:
            raise UsageError(
                f"evaluations is {self.evaluations}; an accuracy predictor needs at least {LEAST_PREDICTED}: "
                "most of them to learn from, the rest to score what it finds"
            )

    @property
    def strategy_entry(self) -> StrategyEntry:
        """The registered entry of the strategy. Raises `UsageError` for an unknown strategy."""
        if self.own_strategy or not isinstance(self.strategy, str):
            return StrategyEntry(type(self.strategy))
        return REGISTRY.get(self.strategy)

    @property
    def alternating(self) -> bool:
        """Whether the search trains the weights of a copy of the supernet."""
        return self.arch_training == "alternating"

    @property
    def front(self) -> bool:
        """Whether the strategy looks for networks at all latencies up to the budget."""
        return self.strategy_entry.front

    @property
    def train(self) -> TrainConfig:
        """How winner and baseline are trained."""
        from latlas.supernet.training.train import TrainConfig

        return TrainConfig(
            steps=self.train_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            device=self.device,
            log_every=self.log_every,
            checkpoint_every_s=self.checkpoint_every_s,
        )
