"""Draws a sheet of a few pictures with their masks, as one PNG to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from latlas.files.write import whole_file
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.data.mask_values import PERSON, VOID

_PAIRS, _COLUMNS, _TALLEST = 12, 3, 256
_GREEN, _MAGENTA = (25, 190, 90), (210, 0, 210)


def write_sheet(dataset: Dataset, path: Path) -> None:
    """Write up to 12 pairs as a PNG: the picture, and the picture with background dark, person green and void magenta."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(_PAIRS, len(dataset))).astype(int))
    pairs = [_pair(dataset.images[index].permute(1, 2, 0).numpy(), dataset.masks[index].numpy()) for index in chosen]
    blank = np.zeros_like(pairs[0])
    pairs += [blank] * (-len(pairs) % _COLUMNS)
    rows = [np.hstack(pairs[start : start + _COLUMNS]) for start in range(0, len(pairs), _COLUMNS)]
    sheet = Image.fromarray(np.vstack(rows))
    factor = min(1.0, _TALLEST / pairs[0].shape[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as draft:
        sheet.resize((max(1, round(sheet.width * factor)), max(1, round(sheet.height * factor)))).save(draft, "PNG")


def _pair(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    tinted = image * 0.25
    tinted[mask == PERSON] = 0.6 * image[mask == PERSON] + 0.4 * np.array(_GREEN)
    tinted[mask == VOID] = _MAGENTA
    return np.hstack([image, tinted.astype(np.uint8)])
