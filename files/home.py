"""A home folder for libraries that fail without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def home_folder() -> Iterator[None]:
    """Give the process a temporary home folder if the system knows none, for example for a user without an entry.

    NNCF, matplotlib and the cache of pulled tables need one. An existing home folder is not changed.
    """
    if os.path.isabs(os.path.expanduser("~")):
        yield
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="latlas-home-", ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            del os.environ["HOME"]
