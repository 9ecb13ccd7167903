"""What stands in a file in place of what it should hold: nothing, a pointer of a large file, a web page."""

from __future__ import annotations

import re

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def stand_in(head: bytes, size: int) -> str:
    """What a file's first bytes say that it is instead, and what to do; empty where it may be what it should.

    `size` is the whole file's, in bytes.
    """
    if not head.strip() and size <= len(head):
        return "it is empty; copy or download it again"
    if head.startswith(_POINTER):
        told = re.search(rb"\nsize (\d{1,15})", head)
        whole = f" of a file of {int(told[1])} bytes" if told else ""
        return f"it is a Git LFS pointer{whole}, not the file; fetch that with `git lfs pull`"
    if b"/annex/objects/" in head[:200] and size < 1000:
        return "it is a git-annex pointer, not the file; fetch that with `git annex get`"
    if _PAGE.match(head):
        return (
            "it is a web page, not the file: the download was refused, or the link was that of a page; "
            "download the file itself"
        )
    return ""
