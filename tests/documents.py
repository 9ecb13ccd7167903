"""The pages that Latlas has for its readers, and the code blocks in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, in their order."""
    return [body for fence, body in FENCE.findall(text) if fence == language]


def shown_commands(text: str, program: str) -> list[str]:
    """The lines `$ program ...` of the fenced console blocks, continued ones joined."""
    lines = [line.strip() for block in blocks(text, "console") for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$").strip() for line in lines if re.match(rf"\$\s+{re.escape(program)}(\s|$)", line)]


def page(name: str) -> str:
    """The text of a page of `docs/`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")
