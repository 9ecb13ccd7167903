"""The reference as a control variate: which part of its scatter the candidate shares (Ross, *Simulation*, 9.2).

A pass is held against the reference's time in that pass. Where this moves with the machine, the candidate moves with it and
the ratio cancels both; where it is the reference's own, as its place in memory moves it by a per cent from pass to pass,
dividing by it adds noise. So the reference's time is split in two: its level over the minutes around the pass, which is
divided out as it is, and the pass's deviation from it, of which only the share goes into the ratio that the campaign's
networks are seen to follow: none in a quiet hour, all of it where the machine's speed changes from second to second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latlas.latency.stopwatch import Pass

LEVEL_SECONDS = 300.0
"""How far before and after a pass the passes are whose references make the level."""
PRIOR_SHARE = 1.0
"""The share that is believed in before the networks are looked at: the plain ratio."""
PRIOR_PASSES, PRIOR_SD = 6, 0.01
"""How much it is believed in: as so many passes with this relative scatter of the reference say it."""


def controlled(networks: Sequence[Sequence[Pass]]) -> list[list[Pass]]:
    """The passes of a campaign's networks, each with its `adjustment`; busy passes neither count nor are adjusted.

    With few passes the share stays near `PRIOR_SHARE`, and the readings are plain ratios.
    """
    quiet = [(index, done) for index, passes in enumerate(networks) for done in passes if done.quiet]
    deviations = _deviations([done for _, done in quiet])
    ratios = np.log([done.plain_ratio for _, done in quiet])
    share = _share(np.array([index for index, _ in quiet], dtype=int), ratios + deviations, deviations)
    adjustments = iter(np.exp((1 - share) * deviations).tolist())
    return [
        [replace(done, adjustment=next(adjustments) if done.quiet else 1.0) for done in passes] for passes in networks
    ]


def _deviations(passes: Sequence[Pass]) -> npt.NDArray[np.float64]:
    """Logarithm of each pass's reference time over the level around it."""
    times, at = np.log([done.reference_level_ms for done in passes]), np.array([done.at for done in passes])
    levels = [np.median(times[np.abs(at - moment) <= LEVEL_SECONDS]) for moment in at]
    return times - np.array(levels)


def _share(
    network: npt.NDArray[np.int_], candidate: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]
) -> float:
    """Slope of the candidates' log times over the level on the reference's, within networks, drawn to the prior; 0..1."""
    prior = PRIOR_PASSES * PRIOR_SD**2
    counts = np.maximum(np.bincount(network), 1)
    own = reference - (np.bincount(network, reference) / counts)[network]
    return float(np.clip((own @ candidate + PRIOR_SHARE * prior) / (own @ own + prior), 0.0, 1.0))
