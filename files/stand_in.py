"""Recognises files without their proper content: empty files, Git LFS and git-annex pointers, web pages."""

from __future__ import annotations

import re

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def stand_in(head: bytes, size: int) -> str:
    """What the file is instead, by its first bytes, and what to do; empty if it may have its proper content.

    `size` is the size of the whole file in bytes.
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
