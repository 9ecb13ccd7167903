import os
import pwd
import stat

from latlas.files.home import home_folder


def test_the_home_that_there_is_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with home_folder():
        assert os.path.expanduser("~") == str(tmp_path)
    assert os.environ["HOME"] == str(tmp_path)


def test_a_user_whom_the_system_does_not_know_has_one_meanwhile_of_his_own(monkeypatch):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert os.path.expanduser("~") == "~"
    with home_folder():
        home = os.path.expanduser("~")
        assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert not os.path.exists(home)
    assert "HOME" not in os.environ
