"""Messages for an unknown name. They state the name, the known names, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

_MEANT = {
    "gpu": "cuda",
    "fp32": "f32",
    "float32": "f32",
    "float": "f32",
    "bfloat16": "bf16",
    "i8": "int8",
    "uint8": "int8",
}
"""Names that others use for our names, where a comparison of letters would not find ours."""


def nearest(value: object, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None if no name is near."""
    names, text = list(known), str(value).strip()
    meant = _MEANT.get(text.lower())
    if meant in names:
        return meant
    by_letters = {name.lower().replace("_", "-"): name for name in names}
    wanted = text.lower().replace("_", "-")
    if wanted in by_letters:
        return by_letters[wanted]
    from difflib import get_close_matches  # here, as a correct name does not need it

    found = get_close_matches(wanted, by_letters, n=1)
    return by_letters[found[0]] if found else None


def did_you_mean(value: object, known: Iterable[str], prefix: str = "") -> str:
    """The end of a message, such as `; did you mean f32?`; empty if no known name is near. `prefix` stands before the name."""
    found = nearest(value, known)
    return f"; did you mean {prefix}{found}?" if found is not None else ""


def unknown(what: str, value: object, known: Iterable[str]) -> str:
    """A whole message, such as `unknown precision 'fp32'; known: f32, bf16, int8; did you mean f32?`."""
    names = list(known)
    return f"unknown {what} {value!r:.80}; known: {', '.join(names)}{did_you_mean(value, names)}"
