"""No message of Latlas says a password."""

import pytest

from latlas.commands.output import note, print_result
from latlas.errors import MergeConflictError, MissingPackageError, StorageError, UsageError, without_passwords


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("storage 'mysql://me:pa:ss@w/ord@host/db' is wrong", "storage 'mysql://me:***@host/db' is wrong"),
        ("two: a://b:c@d and e://f:g@h", "two: a://b:***@d and e://f:***@h"),
        ("https://ghp_123456@example.org/x", "https://***@example.org/x"),
        ("s3://bucket/key?X-Amz-Signature=abc&part=1", "s3://bucket/key?X-Amz-Signature=***&part=1"),
        ("db://host/x?user=me&password=geheim", "db://host/x?user=me&password=***"),
        ("journal:runs/a@b:c.log", "journal:runs/a@b:c.log"),
        ("file:///home/me/x@2.parquet", "file:///home/me/x@2.parquet"),
        ("portrait:resolution=256x256/m3-m3", "portrait:resolution=256x256/m3-m3"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_what_is_hidden(text, without):
    assert without_passwords(text) == without


@pytest.mark.parametrize("kind", [UsageError, StorageError, MissingPackageError, MergeConflictError])
def test_errors_hold_none(kind):
    error = kind("cannot open mysql://me:geheim@host/db")
    assert "geheim" not in str(error) + repr(error)
    assert "mysql://me:***@host/db" in str(error)


def test_nothing_printed_has_one(capsys):
    note("from mysql://me:geheim@host/db")
    print_result({"url": "mysql://me:geheim@host/db"}, True, list)
    print_result({}, False, lambda: ["mysql://me:geheim@host/db"])
    said = capsys.readouterr()
    assert (said.out + said.err).count("mysql://me:***@host/db") == 3
    assert "geheim" not in said.out + said.err
