"""The time left of a job of several commands, on a scripted clock, against what it then took."""

import pytest

from latlas.commands.job import Job, Phase

PLAN = (
    Phase("profile", "measuring", "measuring", 100, 50, quiet_seconds=5),
    Phase("train", "training", "training", 300, 30, quiet_seconds=5),
    Phase("search", "scoring", "training", 20, 10),
    Phase("search", "training the winner", "training", 500, 40),
    Phase("search", "measuring", "measuring", 60, 30, quiet_seconds=3, parts=3, interleaved=True),
)
PLANNED_S = 50 + 5 + 30 + 5 + 10 + 40 + 30 + 9


class Run:
    """Does a plan's work on a clock of its own, slower than planned by a factor a kind; keeps what was told when."""

    def __init__(self, plan=PLAN, measuring=1.0, training=1.0):
        self.now, self.told, self.slow = 0.0, [], {"measuring": measuring, "training": training}
        self.job = Job(plan, clock=lambda: self.now)

    def part(self, title, kind, units, seconds, quiet=0.0, own=False, step=5):
        """A bar from nothing to `units`, after a silence."""
        self.now += quiet
        pace = self.slow[kind] * seconds / units
        for done in range(0, units, step):
            left = (units - done) * pace if own else None
            self.told.append((self.now, self.job.time_left(title, done, units, left)))
            self.now += step * pace

    def all_of_it(self):
        self.job.begin("profile")
        self.part("measuring", "measuring", 100, 50, 5, own=True)
        self.job.begin("train")
        self.part("training", "training", 300, 30, 5, step=20)
        self.search()

    def search(self):
        self.job.begin("search")
        self.part("measuring", "measuring", 20, 10, 3, own=True)
        self.part("scoring", "training", 20, 10, step=1)
        self.part("measuring", "measuring", 20, 10, 3)
        self.part("training the winner", "training", 500, 40, step=20)
        self.part("measuring", "measuring", 20, 10, 3)


def test_before_anything_it_is_the_plan():
    assert Job(PLAN, clock=lambda: 0.0).seconds_left() == pytest.approx(PLANNED_S)


def test_as_planned_it_is_right_all_the_way():
    run = Run()
    run.all_of_it()
    assert run.now == pytest.approx(PLANNED_S)
    for now, left in run.told:
        assert left == pytest.approx(run.now - now, abs=2.5)


@pytest.mark.parametrize("slow", [{"measuring": 2.0, "training": 2.0}, {"measuring": 2.5}, {"training": 2.0}])
def test_on_a_slower_machine_it_is_within_half_once_each_kind_was_seen(slow):
    run = Run(**slow)
    run.all_of_it()
    for now, left in run.told:
        if now > 0.3 * run.now:
            assert (run.now - now) / 1.5 - 3 < left < 1.5 * (run.now - now) + 3, (now, run.now)
    # And what is slow is not taken for what is not: half-way it is within a quarter.
    for now, left in run.told:
        if now > 0.6 * run.now:
            assert left == pytest.approx(run.now - now, rel=0.25, abs=5)


def test_what_is_done_already_is_not_waited_for():
    run = Run()
    run.search()
    assert run.told[0][1] == pytest.approx(run.now - run.told[0][0], abs=0.5)


def test_more_work_than_planned_counts_as_far_as_its_bar_goes():
    run = Run()
    run.job.begin("train")
    run.now = 5.0
    assert run.job.time_left("training", 0, 300, None) == pytest.approx(PLANNED_S - 60)
    assert run.job.time_left("training", 0, 600, None) == pytest.approx(PLANNED_S - 60 + 30)
    assert run.job.time_left("training", 0, 600, 100.0) == pytest.approx(PLANNED_S - 60 + 30)


def test_a_campaign_that_measures_noisy_ones_again_says_how_long_that_takes():
    run = Run()
    run.job.begin("profile")
    run.now = 5.0
    assert run.job.time_left("measuring", 0, 100, None) == pytest.approx(PLANNED_S - 5)
    assert run.job.time_left("measuring", 0, 100, 80.0) == pytest.approx(PLANNED_S - 5 - 50 + 80)


def test_a_bar_that_is_not_planned_changes_nothing():
    run = Run()
    run.job.begin("profile")
    before = run.job.seconds_left()
    run.now = 7.0
    assert run.job.time_left("loading", 3, 4, 2.0) == before


def test_fewer_finalists_than_planned_are_over_when_the_next_phase_begins():
    plan = (
        Phase("search", "training the finalist", "training", 400, 40, parts=4),
        Phase("search", "training the winner", "training", 100, 10),
    )
    job = Job(plan, clock=lambda: 0.0)
    job.begin("search")
    assert job.time_left("training the finalist", 0, 100, None) == pytest.approx(50)
    assert job.time_left("training the winner", 0, 100, None) == pytest.approx(10)
