"""A run's folder: what it is held against, what a new run deletes."""

import json
from dataclasses import replace

import pytest
import torch

from latlas.errors import EnvironmentMismatchError, InfeasibleBudgetError
from latlas.search.run.folder import CONFIG, JOURNAL, discard, open_run
from latlas.search.run.search_run import without_password
from latlas.supernet.data.dataset import data_sha256, synthetic, weights_sha256
from latlas.supernet.networks.network import Subnet

ASKED = {"asked": {"seed": 0}, "predictor": "ab"}


def test_a_new_run_says_what_it_was_asked_for(tmp_path):
    with open_run(tmp_path, ASKED) as run:
        assert json.loads((tmp_path / CONFIG).read_text()) == ASKED
        run.training("winner-1").write_text("half done")
        run.journal.ask("score", "a", lambda: 1, int)
    with open_run(tmp_path, ASKED) as run:
        assert run.journal.recorded == 1
        assert run.training("winner-1").read_text() == "half done"
        run.finished()
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, JOURNAL]


def test_another_predictor_is_refused_and_what_was_begun_is_kept(tmp_path):
    with open_run(tmp_path, ASKED) as run:
        run.journal.ask("score", "a", lambda: 1, int)
    with (
        pytest.raises(EnvironmentMismatchError, match="predictor was 'ab', is 'cd'"),
        open_run(tmp_path, ASKED | {"predictor": "cd"}),
    ):
        pass
    assert json.loads((tmp_path / CONFIG).read_text()) == ASKED
    assert discard(tmp_path) == [JOURNAL, CONFIG]
    assert discard(tmp_path) == []
    with open_run(tmp_path, ASKED | {"predictor": "cd"}) as run:
        assert run.journal.recorded == 0


def test_a_run_whose_budget_was_impossible_leaves_room_for_one_of_another(tmp_path):
    def infeasible():
        with open_run(tmp_path, ASKED) as run:
            run.journal.ask("campaign", [], dict, dict)
            raise InfeasibleBudgetError("nothing is that fast")

    with pytest.raises(InfeasibleBudgetError):
        infeasible()
    assert not list(tmp_path.iterdir())


def test_hashes_are_of_what_is_held(tiny_space):
    data = synthetic(2, 32, 32, 0)
    assert data_sha256(data) == data_sha256(synthetic(2, 32, 32, 0))
    masks = data.masks.clone()
    masks[1, 3, 3] ^= 1
    assert data_sha256(replace(data, masks=masks)) != data_sha256(data)
    assert data_sha256(replace(data, names=("a", "b"))) != data_sha256(data)
    network = Subnet(tiny_space.cover()[0].graph())
    before = weights_sha256(network)
    assert weights_sha256(network) == before
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1
    assert weights_sha256(network) != before


@pytest.mark.parametrize(
    ("storage", "written"),
    [
        (None, None),
        ("sqlite:///search.db", "sqlite:///search.db"),
        ("journal:runs/a@b:c.log", "journal:runs/a@b:c.log"),
        ("postgresql://me:se/c:r@t@host:5432/searches", "postgresql://me:***@host:5432/searches"),
        ("mysql+pymysql://me@host/searches", "mysql+pymysql://me@host/searches"),
    ],
)
def test_no_password_of_a_database_is_written(storage, written):
    assert without_password({"storage": storage, "seed": 1}) == {"storage": written, "seed": 1}
