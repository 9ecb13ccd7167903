"""A folder of features on disk. Each set is computed once and checked when it is used again. The folder's size has a limit.

    features-<32 hex digits of the hash of their identity>/manifest.json, tap0.f16 .., masks.u8

A set appears whole, by renaming, or not at all. It is used again only if its files have the sizes and sha256 of its manifest;
else it is computed anew. If a new set would exceed the limit, the sets used longest ago are deleted, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from latlas.errors import LatlasError, UsageError
from latlas.files.write import cannot_write, whole_folder
from latlas.supernet.backbone.features import FeaturePlan, Features, Layout, computed, identity_of, layout_of, opened
from latlas.supernet.backbone.split import Backbone
from latlas.supernet.data.dataset import Dataset

log = logging.getLogger(__name__)

GB = 1e9
_NAME = re.compile(r"features-[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\.features-[0-9a-f]{32}(\.\w+)?\.tmp")
_MANIFEST, _MANIFEST_LIMIT_BYTES = "manifest.json", 100_000


class FeatureCache:
    """Sets of features in `folder`, at most `limit_gb` gigabytes (1e9 bytes) together. Several processes may share it.

    This object does not delete a set that it gave out. Another process may delete it; on Unix, open files stay readable.
    Raises `UsageError` for a limit that is not positive.
    """

    def __init__(self, folder: Path, limit_gb: float = 8.0) -> None:
        if not 0 < limit_gb < float("inf"):
            raise UsageError(f"the cache's limit is {limit_gb} GB; it must be above 0")
        self.folder, self.limit_gb = folder, limit_gb
        self._given = set[str]()

    def require_room(self, needed: int) -> None:
        """Raise `UsageError` if `needed` bytes exceed the limit even with every other set deleted."""
        if needed > self.limit_gb * GB:
            raise UsageError(
                f"the features take {needed / GB:.2f} GB, the limit of {self.folder} is {self.limit_gb:g} GB; "
                "raise the limit, or take fewer copies, fewer images or a lower resolution"
            )

    def features(
        self,
        backbone: Backbone,
        dataset: Dataset,
        plan: FeaturePlan,
        version: str,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Features:
        """The features of a data set's views. They are read from disk if they are there, else computed and written.

        `version` is the version of Latlas. `on_progress` gets the rows done and all rows; it may raise to end the work.

        Raises:
            UsageError: The features would exceed the limit or the free space on the disk (known before they are computed),
                or the folder cannot be written.
            LatlasError: The features are not finite.
        """
        identity, layout = identity_of(backbone, dataset, plan, version), layout_of(backbone, dataset, plan)
        text = json.dumps(identity, sort_keys=True)
        name = f"features-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        path = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                problem = _problem(path, identity, layout)
                if problem:
                    if path.exists():
                        log.warning("%s: %s; computed anew", path, problem)
                        shutil.rmtree(path)
                    self._make_room(name, sum(layout.size_bytes.values()))
                    self._write(path, identity, layout, computed(backbone, dataset, plan), on_progress)
                os.utime(path / _MANIFEST)
                self._given.add(name)
                return opened(path, layout, len(dataset), plan.copies)
        except LatlasError:
            raise
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def _make_room(self, name: str, needed: int) -> None:
        """Delete the sets used longest ago until `needed` more bytes are within the limit."""
        for temporary in self.folder.iterdir():  # left by killed processes: a living writer would hold the lock
            if _TEMPORARY.fullmatch(temporary.name) and not temporary.is_symlink():
                shutil.rmtree(temporary, ignore_errors=True)
        found = {one.name: one for one in self.folder.iterdir() if _is_ours(one)}
        sizes = {one: sum(file.stat().st_size for file in path.iterdir()) for one, path in found.items()}
        held = sum(size for one, size in sizes.items() if one in self._given)
        self.require_room(held + needed)
        free = sorted((one for one in sizes if one not in self._given), key=lambda one: _last_used(found[one]))
        while sum(sizes.values()) + needed > self.limit_gb * GB:
            oldest = free.pop(0)
            log.warning("%s was used longest ago and is deleted for %s", found[oldest], name)
            shutil.rmtree(found[oldest])
            del sizes[oldest]
        room = shutil.disk_usage(self.folder).free
        if needed > room:
            raise UsageError(
                f"the features take {needed / GB:.2f} GB, the disk of {self.folder} has {room / GB:.2f} GB left; "
                "free some, name another folder, or take fewer copies"
            )

    def _write(
        self,
        path: Path,
        identity: Mapping[str, Any],
        layout: Layout,
        rows: Any,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        with whole_folder(path) as draft:
            hashes = {name: hashlib.sha256() for name in layout.files}
            files = {name: (draft / name).open("wb") for name in layout.files}
            done = 0
            try:
                for arrays in rows:
                    for (name, file), array in zip(files.items(), arrays, strict=True):
                        file.write(array.data)
                        hashes[name].update(array.data)
                    done += len(arrays[0])
                    if on_progress is not None:
                        on_progress(done, layout.rows)
            finally:
                for file in files.values():
                    file.close()
            record = {"identity": identity, "sha256": {name: one.hexdigest() for name, one in hashes.items()}}
            (draft / _MANIFEST).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _is_ours(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _last_used(path: Path) -> float:
    with suppress(OSError):
        return (path / _MANIFEST).stat().st_mtime
    return 0.0


def _problem(path: Path, identity: Mapping[str, Any], layout: Layout) -> str:
    """Why a set cannot be used; empty if it can."""
    if not path.is_dir():
        return "not there"
    manifest = path / _MANIFEST
    try:
        if manifest.stat().st_size > _MANIFEST_LIMIT_BYTES:
            return "its manifest is too large"
        record = json.loads(manifest.read_text(encoding="utf-8"))
        if record["identity"] != identity:
            return "its manifest is of other features"
        for name, size in layout.size_bytes.items():
            file = path / name
            if file.is_symlink() or file.stat().st_size != size:
                return f"{name} is not of {size} bytes"
            if _sha256(file) != record["sha256"][name]:
                return f"{name} is not what was written"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"it cannot be read ({type(error).__name__})"
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
