"""The storage of a shared search is opened first; what is wrong with it is one line, without a password."""

import sqlite3

import pytest

from latlas import cli
from latlas.errors import EnvironmentMismatchError, LatlasError, UsageError
from latlas.search.config import SearchConfig
from latlas.search.optuna.storage import require_storage, storage_named
from latlas.spaces.portrait import PortraitSpace

optuna = pytest.importorskip("optuna")
SPACE = PortraitSpace(depths=(1, 1, 1, 1))


def config(storage, **more):
    return SearchConfig(strategy="optuna-tpe", storage=storage, study="s", **more)


def put_broken_inputs(folder):
    """A predictor and a supernet that are there, as far as one sees without reading them."""
    (folder / "predictor").mkdir()
    (folder / "predictor" / "predictor.json").write_text("broken")
    (folder / "supernet.safetensors").write_text("broken")


@pytest.fixture
def database(tmp_path):
    """A database as this version of Optuna makes it."""
    path = tmp_path / "search.db"
    optuna.create_study(storage=f"sqlite:///{path}", study_name="s", direction="maximize")
    return path


@pytest.mark.parametrize("revision", ["v99.0.0.a", "v3.0.0.d"])
def test_a_database_of_another_optuna(database, revision, capsys, monkeypatch):
    monkeypatch.chdir(database.parent)
    put_broken_inputs(database.parent)
    with sqlite3.connect(database) as connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))
        connection.execute("update version_info set library_version = '4.2.0'")
    connection.close()
    with pytest.raises(UsageError, match=r"search\.db' is of another version of Optuna: .*set up by optuna 4\.2\.0"):
        require_storage(config(f"sqlite:///{database}"))
    words = ("--strategy", "optuna-tpe", "--storage", f"sqlite:///{database}", "--study", "s", "--out", "run")
    assert cli.run(["search", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: storage ")
    assert len(error.splitlines()) == 1  # before the predictor, which is broken, is read
    assert not (database.parent / "run").exists()


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:///{folder}/none/x.db", "unable to open database file; check the URL"),
        ("sqlite:///{folder}/text", "file is not a database"),
        ("journal:{folder}/text", "is no journal of Optuna's; it is left as it is"),
        ("journal:{folder}/none/x.log", "No such file or directory"),
        ("postgresql:/me:s3cret@host/db", r"'\*\*\*@host/db' is not known"),
        ("me:s3cret@host/db", r"'\*\*\*@host/db' is not known; write journal:PATH"),
        ("redis://me:s3cret@host", r"'redis://me:\*\*\*@host' is not known"),
        ("nosuch://me:s3/c:r@s3cret@host/db", r"'nosuch://me:\*\*\*@host/db' cannot be opened"),
        ("nosuch://host/db?user=me&password=s3cret", r"password=\*\*\*'"),
    ],
)
def test_a_wrong_storage_is_one_line_without_a_password(tmp_path, storage, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_broken_inputs(tmp_path)
    (tmp_path / "text").write_text("neither a database nor a journal\n" * 100)
    storage = storage.format(folder=tmp_path)
    with pytest.raises(UsageError, match=message):
        require_storage(config(storage))
    assert cli.run(["search", "--strategy", "optuna-tpe", "--storage", storage, "--study", "s"]) == 2
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err
    assert len(said.err.splitlines()) == 1


def test_a_study_of_something_else(database):
    storage = f"sqlite:///{database}"
    require_storage(config(storage), SPACE)
    require_storage(config(f"sqlite:///{database.parent}/new.db"), SPACE)
    assert optuna.get_all_study_names(f"sqlite:///{database.parent}/new.db") == []  # looked at, not begun
    study = optuna.load_study(study_name="s", storage=storage)
    for name, value, message in (
        ("latlas_space", "portrait", "is of space 'portrait', not of 'portrait:depths="),
        ("latlas_coding", "Another", "is of coding 'Another'"),
        ("latlas_budget_ms", 9.0, r"of a budget of 9\.0 ms, not of 5\.000"),
    ):
        study.set_user_attr(name, value)
        with pytest.raises(EnvironmentMismatchError, match=message):
            require_storage(config(storage, budget_ms=5.0), SPACE)
        study.set_user_attr(name, {"latlas_space": SPACE.text, "latlas_coding": "Coding"}.get(name, 5.0))
    require_storage(config(storage, budget_ms=5.0), SPACE)
    with pytest.raises(EnvironmentMismatchError, match="objectives maximize, not maximize, minimize"):
        require_storage(SearchConfig(strategy="front-nsgaii", storage=storage, study="s"), SPACE)
    with pytest.raises(UsageError, match="optuna-cmaes does not share a storage"):
        require_storage(SearchConfig(strategy="optuna-cmaes", storage=storage, study="s"), SPACE)


def test_a_storage_that_is_lost_is_named():
    message = r"storage mysql://me:\*\*\*@h/db was lost: gone; the same command goes on"
    with pytest.raises(LatlasError, match=message), storage_named("mysql://me:s3cret@h/db"):
        raise optuna.exceptions.StorageInternalError("gone\nat mysql://me:s3cret@h/db")
