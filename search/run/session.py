"""The measuring part of a search: its session, its budget, and the latencies of baseline, fastest and slowest network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from latlas.errors import InfeasibleBudgetError
from latlas.files.lock import timing_lock
from latlas.latency.fitting.anchors import Anchors
from latlas.latency.limits.limits import limits_of
from latlas.latency.machine.environment import Environment, require_same
from latlas.latency.measuring.bench import Network, network_of_graph
from latlas.latency.measuring.interval import SESSION_SD, Interval
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.steadiness import pace_warning
from latlas.latency.measuring.stopwatch import CAMPAIGN_SD
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.search.constraint.constraint import HasGraph, LatencyConstraint
from latlas.search.run.campaigns import Campaigns
from latlas.search.run.export import interval_of
from latlas.search.run.search_run import SearchRun
from latlas.spaces.space import Architecture
from latlas.supernet.operators.build import timing_operator

log = logging.getLogger(__name__)

SLOWEST_SESSION = 0.5
"""A session's milliseconds are at least this share of another session's. A budget that needs less is refused unmeasured."""
UNANCHORED_ERROR = 0.02
"""Relative standard error of a session's scale if only the reference gives it."""
LEAST_CHANCE = 0.1
"""An architecture with a smaller chance to be accepted is not worth measuring."""


@dataclass(frozen=True, slots=True)
class Session:
    """The measuring part of one search.

    Every latency in it refers to one reference latency. With `anchored`, subnets that the predictor knows are measured in every
    campaign; they rescale it to the speed of the session's first campaign.
    """

    campaigns: Campaigns
    library: OperatorLibrary
    setting: Setting
    environment: Environment
    anchored: Anchors | None = None

    @property
    def reference_ms(self) -> float:
        """The reference network's latency in this session."""
        return self.environment.session_reference_ms

    def measure(self, architectures: Sequence[HasGraph], passes: int) -> list[Interval | None]:
        """Milliseconds of each architecture, measured in turn in so many passes; None if it could not be compiled or timed."""
        with timing_lock():  # converting uses all cores and would disturb another process's measurement
            networks = [network_of_graph(str(a), self.library.describe(a.graph())) for a in architectures]
        found = self.measure_networks(networks, passes)
        return [found.get(str(a)) for a in architectures]

    def measure_networks(
        self, networks: Sequence[Network], passes: int, repeat_noisy: bool = False
    ) -> dict[str, Interval]:
        """Milliseconds of each network that could be timed, by label, at the speed of the session's first campaign."""
        found = self.campaigns.measure_all(
            networks,
            passes=passes,
            max_passes=max(passes, self.setting.max_passes),
            repeat_noisy=repeat_noisy,
            along=self.anchored.networks if self.anchored else (),
            seed=self.setting.seed,
        )
        scale, error = self.anchored.scale(found) if self.anchored else (1.0, 0.0)
        campaign_sd = SESSION_SD if self.anchored else CAMPAIGN_SD
        return {
            one.label: interval_of(found[one.label], self.reference_ms, self.setting, campaign_sd).over(scale, error)
            for one in networks
            if found[one.label].passes
        }


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The measured latencies of the baseline and of the fastest network, and the predicted latency of the slowest."""

    baseline: Interval
    fastest: Interval
    fastest_architecture: Architecture
    slowest_ms: float


def open_session(run: SearchRun) -> tuple[LatencyConstraint, Session, Landmarks]:
    """The constraint, session and landmarks of a search. Raises `InfeasibleBudgetError` for an impossible budget."""
    config, setting, saved, space, on_note = run.config, run.setting, run.saved, run.space, run.note
    baseline, predictor = run.prepared.baseline, saved.predictor
    # A budget without a number is the measured latency of a baseline.
    budgeted = space.baseline(config.budget_ms) if isinstance(config.budget_ms, str) else baseline
    budget_ms = None if isinstance(config.budget_ms, str) else config.budget_ms
    campaigns = Campaigns(setting, run.journal, run.listener.on_measuring)
    library = setting.library(run.operators, timing_operator)
    limits = limits_of(predictor, space, config.confidence)
    fastest = limits.fastest
    if budget_ms is not None and SLOWEST_SESSION * limits.fastest_ms.lower_ms > budget_ms:
        raise InfeasibleBudgetError(
            f"no network of {space.text} comes near {budget_ms:.3f} ms: the fastest, {fastest}, is predicted to take "
            f"{limits.fastest_ms.latency_ms:.3f} ms, the slowest {limits.slowest_ms.latency_ms:.3f} ms; "
            "raise the budget, or search a leaner space"
        )
    on_note("measuring the baseline, the fastest network of the space, and some that the predictor knows")
    with timing_lock():
        known = Anchors(saved, library.describe)
        ends = [
            network_of_graph(str(a), library.describe(a.graph())) for a in dict.fromkeys([baseline, budgeted, fastest])
        ]
    found = campaigns.measure_all(
        [*ends, *known.networks], passes=setting.careful_passes, max_passes=setting.max_passes, seed=setting.seed
    )
    environment = campaigns.environment
    reference_ms = environment.session_reference_ms
    require_same(saved.environment, environment, "search with this predictor here")
    # If no subnet of the predictor can be measured, only the reference gives the scale.
    scale, scale_error = reference_ms / saved.environment.session_reference_ms, UNANCHORED_ERROR
    anchored = known if any(found[one.label].passes for one in known.networks) else None
    if anchored:
        scale, scale_error = anchored.open(found, reference_ms, setting.rule)
    when = "it had when the predictor was made"
    if said := pace_warning(scale, when):
        log.warning("%s. This search states all milliseconds at the speed of now", said)
    landmarks = Landmarks(
        baseline=interval_of(found[str(baseline)], reference_ms, setting),
        fastest=interval_of(found[str(fastest)], reference_ms, setting),
        fastest_architecture=fastest,
        slowest_ms=limits.slowest_ms.latency_ms * scale,
    )
    if budget_ms is None:
        budget_ms = interval_of(found[str(budgeted)], reference_ms, setting).latency_ms
    if landmarks.fastest.lower_ms > budget_ms:
        raise InfeasibleBudgetError(
            f"no network of {space.text} is within {budget_ms:.3f} ms on this machine: the fastest, {fastest}, takes "
            f"{landmarks.fastest.latency_ms:.3f} ms (measured), the slowest {landmarks.slowest_ms:.3f} ms (predicted); "
            "raise the budget, or search a leaner space"
        )
    session = Session(campaigns, library, setting, environment, anchored)
    constraint = LatencyConstraint(
        predictor,
        budget_ms,
        measure_all=lambda architectures: session.measure(architectures, setting.passes),
        confidence=config.confidence,
        max_measurements=config.max_measurements,
        least_chance=LEAST_CHANCE,
        scale=scale,
        scale_error=scale_error,
    )
    constraint.confirm(fastest, landmarks.fastest)
    on_note(f"budget {budget_ms:.3f} ms; fastest {landmarks.fastest.latency_ms:.3f} ms")
    if landmarks.slowest_ms <= budget_ms:
        on_note(
            f"all networks of {space.text} fit the budget: the slowest takes {landmarks.slowest_ms:.3f} ms (predicted). "
            f"The budget decides nothing, the best by quality wins. "
            f"Lower the budget, or widen the space: {', '.join(space.widened_by)}"
        )
    return constraint, session, landmarks
