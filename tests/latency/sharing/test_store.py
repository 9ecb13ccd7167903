"""URLs, missing packages and credentials; reading and writing is in test_sharing.py, over every kind of store."""

import re
import sys

import pytest

from latlas.distribution import how_to_install
from latlas.errors import UsageError
from latlas.latency.sharing.store import clean, open_store


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("s3://bucket/x", "s3fs", "s3"),
        ("gs://bucket/x", "gcsfs", "gcs"),
        ("az://box/x", "adlfs", "azure"),
        ("abfs://box@account.dfs.core.windows.net/x", "adlfs", "azure"),
        ("https://me:hunter22@host/x?sig=token", "aiohttp", "http"),
    ],
)
def test_missing_package_is_one_line_with_the_command(url, module, extra, monkeypatch):
    from fsspec.registry import _registry

    for protocol in ("s3", "gs", "az", "abfs", "https"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] in (module, "s3fs", "gcsfs", "adlfs")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UsageError, match=re.escape(f"needs a package that is not installed: {how_to_install(extra)}")
    ) as caught:
        open_store(url)
    assert "hunter22" not in str(caught.value) and "token" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is not a URL of one store"),
        ("simplecache::s3://bucket", "is not a URL of one store"),
        ("s3:bucket/x", "two slashes are missing"),
        ("nosuch://x", "no store of kind 'nosuch' is known"),
        ("file://relative/x", "begins with a slash"),
        ("http://me:hunter/22@host/x", "is not a URL"),
        ("s3://bucket/x?key=hunter22", "has no . or #"),
    ],
)
def test_wrong_urls_are_one_clear_line(url, message):
    with pytest.raises(UsageError, match=message) as caught:
        open_store(url)
    assert "hunter" not in str(caught.value) and str(caught.value).isprintable()


def test_credentials_are_cleaned_from_texts():
    text = "GET https://me:pa@ss@host:8/a/b?sig=abc#f failed; sftp://me:pw@host/x; abfs://box@acc.net/y; s3://bucket/z"
    assert clean(text) == "GET https://host:8/a/b failed; sftp://host/x; abfs://box@acc.net/y; s3://bucket/z"


def test_store_never_shows_its_secrets():
    store = open_store("https://me:hunter22@host:81/x/?sig=tokentoken")
    assert store.name == "https://host:81/x"
    assert "hunter22" not in repr(store) and "tokentoken" not in repr(store)
    assert store._full("a b/c~d") == "https://me:hunter22@host:81/x/a%20b/c~d?sig=tokentoken"
