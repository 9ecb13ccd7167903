"""Measured subnets in a file come back as they were."""

import pytest

from benchmarks.kept_samples import kept, read_samples, write_samples
from latlas.latency.fitting.fit import Sample


def test_they_come_back(tmp_path, tiny_space):
    one, other = (
        Sample(architecture, 1.0 + k, 0.9, 1.1, 2.0, "ok", (2.0, 1.99))
        for k, architecture in enumerate(tiny_space.cover()[:2])
    )
    write_samples(tmp_path / "samples.csv", {"train": [one, other], "test": [one]})
    assert read_samples(tmp_path / "samples.csv") == {"train": [one, other], "test": [one]}
    assert one.latency_ms == pytest.approx(1.0)


def test_what_is_kept_is_not_measured_again(tmp_path, tiny_space):
    sets = {"train": [Sample(tiny_space.cover()[0], 1.0, 0.9, 1.1, 2.0, "ok", (2.0,))]}

    def never():
        raise AssertionError("measured again")

    path = tmp_path / "samples.csv"
    assert kept(path, lambda: (sets, {"seconds": 1.0})) == (sets, {"seconds": 1.0})
    assert kept(path, never) == (sets, {})
    assert kept(None, lambda: (sets, {"seconds": 2.0})) == (sets, {"seconds": 2.0})
