"""Finalists whose training diverges are dropped, and the search goes on with the others."""

from types import SimpleNamespace

import pytest

from latlas.errors import DivergedError, LatlasError
from latlas.search.config import SearchConfig
from latlas.search.constraint.verdict import Verdict
from latlas.search.run import finalists
from latlas.search.run.finalists import rank_by_training, train_best
from latlas.search.run.folder import open_run
from latlas.search.run.search_run import Listener, SearchRun
from latlas.search.strategies.loop import Candidate


@pytest.fixture
def three(tiny_space):
    return [Candidate(one, 0.5, Verdict(True, 1.0, 0.9, 1.1, True)) for one in tiny_space.cover()[:3]]


class Ranking:
    """`rank_anew` with trainings that reach what they are told, or diverge where that is None."""

    def __init__(self, monkeypatch, tmp_path, reached):
        self.reached, self.notes, self.trained = reached, [], []
        monkeypatch.setattr(finalists, "train_subnet", self._train)
        monkeypatch.setattr(finalists, "recalibrate", lambda network, images: network)
        monkeypatch.setattr(
            finalists, "score_subnet", lambda network, data, boundary: SimpleNamespace(miou=network.quality)
        )
        self.out = tmp_path

    def _train(self, subnet, data, config, augmentation, **options):
        self.trained.append((subnet, config.steps))
        if self.reached[subnet] is None:
            raise DivergedError("the loss is nan")
        done = SimpleNamespace(quality=self.reached[subnet])
        done.cpu = lambda: done
        return done

    def run(self, candidates):
        prepared = SimpleNamespace(unscored=[0], scored=[0], score_calibration=[], start_of=lambda one: one)
        config = SearchConfig(halving_steps=2, train_steps=4)
        with open_run(self.out, {}) as folder:
            task = SimpleNamespace(config=config, augmentation=None)
            run = SearchRun(task, prepared, folder, Listener(on_note=self.notes.append), self.out)
            return [trial.candidate for trial in rank_by_training(run, candidates)]


def test_one_that_diverges_is_left_out_with_a_note_and_stays_so(monkeypatch, tmp_path, three):
    a, b, c = (one.architecture for one in three)
    ranking = Ranking(monkeypatch, tmp_path, {a: 0.1, b: None, c: 0.3})
    assert ranking.run(three) == [three[2], three[0]]
    assert any("dropped: the loss is nan" in note for note in ranking.notes)
    ranking.trained.clear()
    assert ranking.run(three) == [three[2], three[0]]  # as the journal has it
    assert not ranking.trained


def test_where_all_diverge_the_search_ends_with_what_to_do(monkeypatch, tmp_path, three):
    ranking = Ranking(monkeypatch, tmp_path, {one.architecture: None for one in three})
    with pytest.raises(LatlasError, match=r"all 3 finalists diverged; use a lower --learning-rate than 0\.002"):
        ranking.run(three)


def test_the_full_training_falls_to_the_next_best(three):
    notes: list[str] = []

    def train(architecture):
        if architecture == three[0].architecture:
            raise DivergedError("the loss is nan")
        return architecture

    winner, network = train_best(three, train, Listener(on_note=notes.append))
    assert winner is three[1] and str(network) == str(three[1].architecture)
    assert any("dropped" in note for note in notes)

    def diverge(architecture):
        raise DivergedError("the loss is nan")

    with pytest.raises(DivergedError):
        train_best(three, diverge, Listener())
