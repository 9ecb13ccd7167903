"""Recognises files that Latlas does not read as latency tables, and says what to do with them."""

from __future__ import annotations

import re

from latlas.files.stand_in import stand_in

_AS_CSV = (
    "write it as CSV with the columns op, H, W, C_in, C_out, kernel, stride and latency_ms (or another unit), an operator "
    "a line"
)
_PICKLE = f"a Python pickle, which is never opened: load it with its own project, and {_AS_CSV}"
_BYTES = (
    (b"PAR1", "a Parquet file, as Latlas' own tables: `latlas tables show` reads one of those"),
    (b"\x93NUMPY", f"an array of numpy, as FasterSeg keeps its table in: load it with numpy, and {_AS_CSV}"),
    (b"SQLite format 3", f"a database of SQLite; {_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet; save it as CSV (UTF-8)"),
    (b"\x1f\x8b", "compressed; unpack it first"),
    (b"%PDF", f"a PDF; {_AS_CSV}"),
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x80\x05", _PICKLE),
)
_NNI = re.compile(r"\s*\{\s*'op_name'\s*:.*'op_latency'", re.DOTALL)
_PADDLE = re.compile(r"[^\n\t]{1,200},[^\n\t]{1,80},[^\n\t]{1,80}\n[a-z_0-9]+(,[^,\n\t]*){3,40}\t[\d.eE+-]+")
_NUMBERS = re.compile(r"\s*[-+]?\d[\d.eE+-]*([ \t]+[-+]?\d[\d.eE+-]*)+\s*")
_DICTS = re.compile(r"""\s*\{\s*'[^'\n]{1,100}'\s*:""")


def what_else(content: bytes) -> str:
    """What a file looks like by its first bytes, if it is no text that a format reads; empty if it may be such a text."""
    head = content[:4096]
    if found := stand_in(head, len(content)) if content else "":
        return found
    for begin, told in _BYTES:
        if head.startswith(begin):
            return f"it is {told}"
    if head.startswith(b"PK"):
        return "it is a spreadsheet (.xlsx, .ods) or another archive; save the sheet as CSV (UTF-8)"
    return ""


def looks_like(text: str) -> str:
    """Which table of another project a text looks like, if Latlas does not read it; empty for any other text."""
    head = text[:4096]
    if _NNI.match(head):
        return f"it looks like a lookup table of NNI (op_name, op_data_shape, op_latency), which is not read: {_AS_CSV}"
    if _PADDLE.match(head):
        return (
            "it looks like a latency table of PaddleSlim (a device, then an operator's arguments and its latency a line), which "
            f"is not read: {_AS_CSV}"
        )
    if _DICTS.match(head):
        return f"it looks like records as Python prints them; write them as JSON, or {_AS_CSV}"
    first = head.partition("\n")[0]
    if _NUMBERS.fullmatch(first):
        return f"it is a matrix of numbers, which does not say of what operators they are: {_AS_CSV}"
    return ""
