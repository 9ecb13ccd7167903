"""A store, where tables are shared: any URL that fsspec knows. Files are read and written as a whole.

No reader may ever see half of a file, and no file may be overwritten unless asked. So a file is written like this:

- file: under a temporary name, flushed to disk, then linked, which fails where the name is taken (or renamed over it).
- s3, gs, az, memory: in one request, which such stores make visible as a whole; by a conditional put, which they refuse
  where the name is taken.
- others (sftp, webdav, ...): under a temporary name, then moved by the store. Whether the name is taken is only checked
  before, so two simultaneous pushes may both pass. With `--force` the old file goes first, so for a moment there is none.
- http, https: read only.

A store that is compatible with S3 may ignore the condition; then only the check before protects a file.
"""

from __future__ import annotations

import io
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from latlas.distribution import how_to_install
from latlas.errors import FileFormatError, LatlasError, UnreachableError, UsageError
from latlas.files.records import one_line
from latlas.files.write import write_bytes

MAX_NAMES = 10_000
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "http": "http",
    "https": "http",
}
_CONDITIONAL = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
_HTTP = {"http", "https"}
_QUERY_URL = re.compile(r"([a-z][a-z0-9+.-]*://[^\s?#'\"]*)[?#][^\s'\"]*", re.IGNORECASE)
# With a slash in a password, which is no URL, too; of others than http a user alone is no secret (abfs: the container).
_USER_URL = re.compile(r"(https?://)[^\s'\"]*@|([a-z][a-z0-9+.-]*://)[^\s'\"@:]*:[^\s'\"]*@", re.IGNORECASE)


@dataclass(frozen=True)
class Store:
    """The root of a store; paths are below it, with `/` between their parts.

    `name` is the URL without credentials, for messages and files.
    """

    name: str
    protocol: str
    _filesystem: Any = field(repr=False)
    _root: str = field(repr=False)
    _query: str = field(default="", repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def lists(self) -> bool:
        """Whether the store lists its files; over http it does not."""
        return self.protocol not in _HTTP

    def read(self, path: str, limit: int) -> bytes | None:
        """The bytes of a file, None if there is none.

        Raises `FileFormatError` if it has more than `limit` bytes, `UnreachableError` if the store fails.
        """
        with self._errors(f"read {path}"):
            try:
                if self.protocol in _HTTP:
                    sink = _Bounded(limit, self.url(path))
                    self._filesystem.get_file(self._full(path), sink)
                    return sink.getvalue()
                content = self._content(self._full(path), limit)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
        if len(content) > limit:
            raise _too_large(self.url(path), limit)
        return content

    def _content(self, full: str, limit: int) -> bytes:
        """The bytes of a file; of a file larger than `limit`, only a few bytes more than `limit`."""
        if self.protocol == "file":
            if not stat.S_ISREG(os.stat(full).st_mode):
                raise FileNotFoundError(full)  # a pipe would block, and a device never ends
            with open(full, "rb") as file:
                return file.read(limit + 1)
        size = self._filesystem.info(full).get("size")
        if size is None:
            with self._filesystem.open(full, "rb") as file:
                return bytes(file.read(limit + 1))
        return bytes(limit + 1) if size > limit else bytes(self._filesystem.cat_file(full))

    def names(self, folder: str = "") -> list[str]:
        """The sorted names of everything directly in a folder; empty if there is no such folder.

        Raises `FileFormatError` if there are more than a store of tables has, `UnreachableError` if the store fails.
        """
        with self._errors(f"list {folder or 'it'}"):
            with suppress(AttributeError):
                self._filesystem.invalidate_cache()
            try:
                found = self._filesystem.ls(self._full(folder), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        if len(found) > MAX_NAMES:
            raise FileFormatError(f"{self.url(folder)} has {len(found)} files; at most {MAX_NAMES} are looked through")
        return sorted({str(name).rstrip("/").rpartition("/")[2] for name in found} - {""})

    def put(self, path: str, content: bytes, overwrite: bool) -> None:
        """Write a file, whole or not at all; the module's docstring says how.

        Raises `FileExistsError` if the file is there and `overwrite` is false, `UsageError` if the store cannot be
        written at all, `UnreachableError` if it fails.
        """
        if self.protocol in _HTTP:
            raise UsageError(f"{self.name}: nothing can be pushed over {self.protocol}; push to the store behind it")
        if self.protocol == "file":
            write_bytes(Path(self._full(path)), content, overwrite)
            return
        full = self._full(path)
        with self._errors(f"write {path}"):
            if not overwrite and self._filesystem.exists(full):
                raise FileExistsError(path)
            if self.protocol in _CONDITIONAL:
                self._filesystem.pipe_file(full, content, mode="overwrite" if overwrite else "create")
                return
            folder, _, name = full.rpartition("/")
            temporary = f"{folder}/.{name[:60]}.{uuid.uuid4().hex}.tmp"
            self._filesystem.makedirs(folder, exist_ok=True)
            try:
                self._filesystem.pipe_file(temporary, content)
                if overwrite and self._filesystem.exists(full):
                    self._filesystem.rm_file(full)  # a move over sftp fails if the name is taken
                self._filesystem.mv(temporary, full)
            finally:
                with suppress(Exception):  # the file is gone if all went well
                    self._filesystem.rm_file(temporary)

    def url(self, path: str = "") -> str:
        """The name of a file of the store in messages."""
        return f"{self.name}/{path}" if path else self.name

    def _full(self, path: str) -> str:
        part = quote(path, safe="/~") if self.protocol in _HTTP else path
        return (f"{self._root}/{part}" if part else self._root) + self._query

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turns whatever a store's library raises into an error of one clear line, without credentials."""
        try:
            yield
        except (LatlasError, FileExistsError):
            raise
        except PermissionError as error:
            raise UsageError(f"cannot {what} at {self.name}: not allowed: {self._said(error)}") from None
        except FileNotFoundError as error:
            raise UsageError(f"cannot {what} at {self.name}: there is no such place: {self._said(error)}") from None
        except Exception as error:  # noqa: BLE001  (each store's library has exceptions of its own, with no common base)
            if getattr(error, "status", None) in (401, 403):  # the answers of http
                raise UsageError(f"cannot {what} at {self.name}: not allowed: {self._said(error)}") from None
            if type(error).__name__ in ("NoCredentialsError", "ClientAuthenticationError", "DefaultCredentialsError"):
                raise UsageError(f"cannot {what} at {self.name}: no credentials: {self._said(error)}") from None
            raise UnreachableError(f"cannot {what} at {self.name}: {self._said(error)}") from None

    def _said(self, error: BaseException) -> str:
        text = str(error) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(clean(text), 300)


def clean(text: str) -> str:
    """The text without the credentials in its URLs: user, password and query (which may hold tokens) are removed."""
    return _QUERY_URL.sub(r"\1", _USER_URL.sub(r"\1\2", text))


def open_store(url: str) -> Store:
    """The store at a URL or at a folder's path; the store is not asked yet.

    The store's own tools find the credentials: in environment variables such as AWS_PROFILE, or in their files.
    AWS_ENDPOINT_URL names another server than Amazon's.

    Raises:
        UsageError: the URL is of no known kind, or the package for it is not installed.
    """
    given = one_line(clean(url), 200)
    if not url.strip() or "\0" in url or re.search(r"^[\w+.-]+::|::[\w+.-]+://", url):
        raise UsageError(f"{given!r} is not a URL of one store")
    if "://" not in url and url.partition(":")[0].lower() in _EXTRAS:
        raise UsageError(f"{given!r}: two slashes are missing after the colon")
    if "://" not in url or url.startswith(("file://", "local://")):
        path = Path(url.partition("://")[2] or url).expanduser()
        if not path.is_absolute() and "://" in url:
            raise UsageError(f"{given!r}: the path of a file URL begins with a slash, as in file:///srv/tables")
        path = Path(os.path.abspath(path))
        return Store(str(path), "file", _filesystem_of("file", given, {}), str(path))
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:  # its text may quote a part of a password
        raise UsageError(
            f"{given!r} is not a URL; signs such as / and @ in a password are written %2F and %40"
        ) from None
    protocol = parts.scheme.lower()
    secrets = _secrets_of(parts.username if protocol in _HTTP else "", parts.password, parts.query)
    if protocol in _HTTP:
        filesystem = _filesystem_of(protocol, given, _http_options())
        root = urlunsplit((protocol, parts.netloc, parts.path.rstrip("/"), "", ""))
        query = f"?{parts.query}" if parts.query else ""
        host = parts.netloc.rpartition("@")[2]
        return Store(f"{protocol}://{host}{parts.path.rstrip('/')}", protocol, filesystem, root, query, secrets)
    if parts.query or parts.fragment:
        raise UsageError(f"{given!r}: a URL of {protocol} has no ? or #; credentials come from its tools' settings")
    options: dict[str, Any] = {}
    if protocol in ("s3", "s3a"):
        # Whoever is offline should not wait for minutes; a user's own settings for fsspec come first.
        options = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}}
        from fsspec.config import conf

        options = {} if "config_kwargs" in conf.get("s3", {}) else options
    filesystem = _filesystem_of(protocol, given, options, url)
    root = str(filesystem._strip_protocol(url)).rstrip("/")
    return Store(clean(url).rstrip("/"), protocol, filesystem, root, "", secrets)


def _filesystem_of(protocol: str, given: str, options: dict[str, Any], url: str = "") -> Any:
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(protocol)
        of_url = kind._get_kwargs_from_urls(url) if url else {}
        if protocol in _EXTRAS:  # others, such as sftp, take it for an option of their client
            of_url = {"use_listings_cache": False, **of_url}
        return kind(**of_url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        how = how_to_install(extra) if extra else one_line(str(error), 200)
        raise UsageError(f"{given}: {protocol} needs a package that is not installed: {how}") from None
    except ValueError as error:
        if protocol not in fsspec.available_protocols():
            raise UsageError(
                f"{given}: no store of kind {protocol!r} is known; file, s3, gs, az and http are"
            ) from None
        raise UsageError(f"{given}: {one_line(clean(str(error)), 200)}") from None
    except Exception as error:  # noqa: BLE001  (as in Store: of no common base; some look for credentials here)
        raise UsageError(f"{given} cannot be used: {one_line(clean(str(error)), 200)}") from None


def _http_options() -> dict[str, Any]:
    try:
        import aiohttp
    except ImportError:
        return {}  # making the file system reports what is missing
    timeout = aiohttp.ClientTimeout(total=120, connect=15)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}


def _secrets_of(user: str | None, password: str | None, query: str) -> tuple[str, ...]:
    """The texts that must not be in a message, as given and decoded, the longest first."""
    given = [user or "", password or "", query, *(pair.partition("=")[2] for pair in query.split("&"))]
    return tuple(
        sorted({text for one in given for text in (one, unquote(one)) if len(text) > 3}, key=len, reverse=True)
    )


class _Bounded(io.BytesIO):
    """A file in memory for a download; it ends the download when it becomes too large."""

    def __init__(self, limit: int, url: str) -> None:
        super().__init__()
        self._limit, self._url = limit, url

    def write(self, chunk: Any) -> int:
        if self.tell() + len(chunk) > self._limit:
            raise _too_large(self._url, self._limit)
        return super().write(chunk)


def _too_large(url: str, limit: int) -> FileFormatError:
    return FileFormatError(f"{url} has more than {limit} bytes; that is not what it should be")
