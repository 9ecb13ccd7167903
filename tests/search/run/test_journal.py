"""A run that is asked the same questions, killed anywhere, and its answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latlas.errors import EnvironmentMismatchError, FileFormatError, LatlasError
from latlas.files.journal import remove_journal
from latlas.search.run.journal import RunJournal

HEADER = {"asked": {"seed": 0, "train": {"steps": 4}}}


def number(value):
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no number")
    return value


def never():
    pytest.fail("the world was asked again")


@given(answers=st.lists(st.integers(0, 9), min_size=1, max_size=6), killed=st.integers(0, 6), cut=st.integers(0, 30))
def test_wherever_a_run_is_cut_off_it_goes_on_with_what_it_was_told(tmp_path_factory, answers, killed, cut):
    path, asked = tmp_path_factory.mktemp("run") / "journal.jsonl", []

    def run(journal, count):
        def world(index):
            asked.append(index)
            return answers[index]

        return [journal.ask("score", f"network {i}", lambda i=i: world(i), number) for i in range(count)]

    with RunJournal(path, HEADER) as journal:
        done = len(run(journal, min(killed, len(answers))))
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    if done and cut:  # killed while the last line was written
        path.write_bytes(content[: max(last, len(content) - cut)])
        done -= 1
        asked.pop()
    with RunJournal(path, HEADER) as journal:
        assert journal.recorded == done and journal.replaying == bool(done)
        assert run(journal, len(answers)) == answers
    assert asked == list(range(len(answers)))


def test_an_answer_is_read_alike_the_first_time_and_from_the_journal(tmp_path):
    """Or a run that goes on would go on with something else."""
    read: list[object] = []
    for _ in range(2):
        with RunJournal(tmp_path / "j", HEADER) as journal:
            journal.ask("trial", ["a", 2], lambda: {"steps": (1, 2), "b": None}, read.append)
    assert read[0] == read[1] == {"steps": [1, 2], "b": None}


def test_another_run_is_refused_by_what_differs(tmp_path):
    with RunJournal(tmp_path / "j", HEADER) as journal:
        journal.ask("score", "a", lambda: 1, number)
    with pytest.raises(EnvironmentMismatchError, match=r"asked\.train\.steps was 4, is 5; .* --force to begin anew"):
        RunJournal(tmp_path / "j", {"asked": {"seed": 0, "train": {"steps": 5}}})


def test_what_differs_is_named_by_its_option_and_can_be_typed(tmp_path):
    was = {"seed": 0, "time_limit_s": None, "inherit": True, "rivals": ["a", "b"], "train_steps": 4}
    with RunJournal(tmp_path / "j", {"asked": was}) as journal:
        journal.ask("score", "a", lambda: 1, number)
    now = {"seed": 1, "time_limit_s": 9.0, "inherit": False, "rivals": [], "train_steps": 4}
    with pytest.raises(EnvironmentMismatchError) as caught:
        RunJournal(tmp_path / "j", {"asked": now})
    assert "--seed was 0, is 1" in str(caught.value)
    assert "train-steps" not in str(caught.value)
    assert "go on with --inherit --rivals a,b --seed 0 without --time-limit, or --force to begin anew" in str(
        caught.value
    )


def test_a_run_that_finished_nothing_may_be_asked_for_otherwise(tmp_path):
    with RunJournal(tmp_path / "j", HEADER):
        pass
    other = {"asked": {"seed": 7}}
    with RunJournal(tmp_path / "j", other) as journal:
        assert journal.ask("score", "a", lambda: 1, number) == 1
    with RunJournal(tmp_path / "j", other) as journal:
        assert journal.recorded == 1


def test_a_question_that_is_not_the_journals_is_an_error(tmp_path):
    with RunJournal(tmp_path / "j", HEADER) as journal:
        journal.ask("score", "a", lambda: 1, number)
    with (
        RunJournal(tmp_path / "j", HEADER) as journal,
        pytest.raises(FileFormatError, match="answer 1, is score of a, where this run asks for score of b"),
    ):
        journal.ask("score", "b", never, number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "x"}, "a broken score: ValueError: 'x' is no number"),
        ({"seconds": -1}, "-1 seconds, which cannot be"),
        ({"seconds": "soon"}, "'soon' seconds, which cannot be"),
    ],
)
def test_a_broken_answer_is_an_error(tmp_path, change, message):
    path = tmp_path / "j"
    with RunJournal(path, HEADER) as journal:
        journal.ask("score", "a", lambda: 1, number)
    first, last = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(last) | change)}\n")
    with RunJournal(path, HEADER) as journal, pytest.raises(FileFormatError, match=message):
        journal.ask("score", "a", never, number)


def test_that_time_was_over_is_remembered_and_time_goes_on_where_it_was(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("latlas.search.run.journal.time.monotonic", lambda: now[0])
    with RunJournal(tmp_path / "j", HEADER) as journal:
        assert not journal.over("search", 10.0, 0.0)
        now[0] += 8
        journal.ask("score", "a", lambda: 1, number)
        assert not journal.over("search", 10.0, 0.0)
    now[0] += 1000  # nobody was there
    with RunJournal(tmp_path / "j", HEADER) as journal:
        assert not journal.over("search", 10.0, 0.0)
        journal.ask("score", "a", never, number)
        assert journal.seconds() == 8
        now[0] += 1
        assert not journal.over("search", 10.0, 0.0)
        now[0] += 2
        assert journal.over("search", 10.0, 0.0) and journal.over("search", 10.0, 0.0)
    with RunJournal(tmp_path / "j", HEADER) as journal:
        assert not journal.over("search", 10.0, 0.0)
        journal.ask("score", "a", never, number)
        assert journal.over("search", 10.0, 0.0)  # at once, as it was
        assert not journal.over("another part", 10.0, 8.0)


def test_a_run_in_use_is_neither_opened_nor_deleted(tmp_path):
    with RunJournal(tmp_path / "j", HEADER):
        with pytest.raises(LatlasError, match="in use by another run"):
            RunJournal(tmp_path / "j", HEADER)
        with pytest.raises(LatlasError, match="in use by another run"):
            remove_journal(tmp_path / "j")
    remove_journal(tmp_path / "j")
    assert not (tmp_path / "j").exists()
    remove_journal(tmp_path / "j")
