"""A home folder for libraries that fail without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def home_folder() -> Iterator[None]:
    """Give the process a temporary home folder where the system knows none, as of a user whom it has no entry for.

    NNCF, matplotlib and the cache of pulled tables look for one. A home folder that there is stays what it is.
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
