"""Checks a data set after it was read: do the masks look like persons, and is each image there once?"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from latlas.errors import DataError, LatlasError
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.data.mask_decoder import OPTION, MaskDecoder, values_text
from latlas.supernet.data.mask_survey import Survey
from latlas.supernet.data.mask_values import PERSON, VOID, MaskValues
from latlas.supernet.data.orientation import Fit
from latlas.supernet.data.sheet import write_sheet

log = logging.getLogger(__name__)
TOUCHING = 0.5
"""If person covers this share of the upper borders, the masks may be inverted: persons rarely do, backgrounds often."""


def check(
    dataset: Dataset,
    fits: Sequence[Fit],
    found: Survey,
    decoder: MaskDecoder,
    values: MaskValues | None,
    where: str,
    sheet: Path | None = None,
) -> Dataset:
    """The same data, with warnings about what looks wrong. Each warning is also logged.

    Raises `DataError` if no pixel is person, or if no pixel is background.
    """
    said = f" with {OPTION} {values.text}" if values is not None else "; white (255 or 1) is person"
    if not bool((dataset.masks == PERSON).any()):
        split = where.rpartition(", ")[2]
        raise DataError(
            f"{where}: no mask of {split} has a person pixel{said}; the masks have the values {values_text(found)}"
        )
    if not bool((dataset.masks == 0).any()):
        brightest = max(max(counts.present, default=1) for counts in found.effective().by_kind.values())
        raise DataError(
            f"{where}: every pixel is person{said}; the masks have the values {values_text(found)}; "
            f"say which is person, such as {OPTION} person={brightest}"
        )
    warnings = [*_looks_inverted(dataset, where, decoder, values), *_fit_warnings(fits, where)]
    if warnings:
        warnings = [f"{warning}; {_where_to_look(dataset, sheet)}" for warning in warnings]
    warnings += _repeated(dataset, where)
    for warning in warnings:
        log.warning("%s", warning)
    return replace(dataset, warnings=tuple(warnings))


def person_share(dataset: Dataset) -> float:
    """The share of person among the known pixels, 0..1."""
    known = int((dataset.masks != VOID).sum())
    return int((dataset.masks == PERSON).sum()) / max(1, known)


def void_share(dataset: Dataset) -> float:
    """The share of void pixels, 0..1."""
    return int((dataset.masks == VOID).sum()) / max(1, dataset.masks.numel())


def _share(masks: Iterable[Tensor]) -> float:
    person, known = 0, 0
    for part in masks:
        person, known = person + int((part == PERSON).sum()), known + int((part != VOID).sum())
    return person / max(1, known)


def _looks_inverted(dataset: Dataset, where: str, decoder: MaskDecoder, values: MaskValues | None = None) -> list[str]:
    """A warning if person lies where a background would be: at the upper borders more than in the middle."""
    masks = dataset.masks
    height, width = masks.shape[1:]
    upper = max(1, 2 * height // 3)
    border = _share((masks[:, 0], masks[:, :upper, 0], masks[:, :upper, -1]))
    middle = _share((masks[:, height // 3 : height - height // 3, width // 3 : width - width // 3],))
    if border < TOUCHING or border <= middle:
        return []
    advice = f"say {OPTION} person=0" if values is None else f"name another value than {OPTION} {values.text}"
    return [
        f"{where}: the masks look inverted: person is {person_share(dataset):.0%} of all pixels, {border:.0%} of the upper "
        f"borders and {middle:.0%} of the middle ({decoder.text}); if background is marked, {advice}"
    ]


def _fit_warnings(fits: Sequence[Fit], where: str) -> list[str]:
    warnings = []
    if count := fits.count("scaled"):
        warnings.append(
            f"{where}: {count} of {len(fits)} masks have another size than their images; they are scaled to them"
        )
    if count := fits.count("turned"):
        warnings.append(
            f"{where}: {count} of {len(fits)} images are turned by EXIF and their masks are not; the masks are turned too"
        )
    if count := fits.count("either"):
        warnings.append(
            f"{where}: {count} of {len(fits)} images are turned by EXIF; their masks fit before and after, and are taken to "
            "be upright"
        )
    return warnings


def _where_to_look(dataset: Dataset, sheet: Path | None) -> str:
    if sheet is None:
        return "look at a few with latlas.supernet.data.sheet.write_sheet(data, 'masks.png')"
    try:
        write_sheet(dataset, sheet)
    except (OSError, LatlasError) as error:
        return f"{sheet}, a sheet of pictures with their masks, cannot be written ({error})"
    return f"look at {sheet}"


def _hashes(dataset: Dataset) -> dict[int, str]:
    return {
        zlib.crc32(image.numpy().tobytes()): name for image, name in zip(dataset.images, dataset.names, strict=True)
    }


def _repeated(dataset: Dataset, where: str) -> list[str]:
    count = len(dataset) - len(_hashes(dataset))
    if not count:
        return []
    return [f"{where}: {count} of {len(dataset)} images are there more than once; each copy counts"]


def shared_images(training: Dataset, validation: Dataset) -> str:
    """A warning about images that are in both sets, because the quality would then be too good; empty if there are none."""
    if training.images.shape[1:] != validation.images.shape[1:]:
        return ""
    both = _hashes(training).keys() & _hashes(validation).keys()
    if not both:
        return ""
    name = _hashes(validation)[min(both)]
    return (
        f"{len(both)} of {len(validation)} validation images are among the training images too, such as {name}; "
        "the quality stated is too good; keep them apart"
    )
