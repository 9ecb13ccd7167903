"""`load_data` gives images with masks of persons. A split is read into memory when it is used, at the size asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.api.setting import OnNote
from latlas.errors import DataError, UsageError

if TYPE_CHECKING:
    from latlas.supernet.data.dataset import Dataset

SYNTHETIC = "synthetic"
"""The name of the source whose images are drawn instead of read."""
VALIDATION_SHARE, LEAST_VALIDATION = 10, 64
"""Drawn images: one validation image for this many training images, and at least this many validation images."""


@dataclass(frozen=True, slots=True)
class Data:
    """Images with masks of persons; `split` reads them. See `load_data` for the fields."""

    source: str
    images: int
    mask_values: str
    seed: int

    def split(
        self,
        name: str,
        height: int,
        width: int,
        *,
        keep_native: bool = False,
        sheet: Path | None = None,
        on_note: OnNote | None = None,
    ) -> Dataset:
        """The samples of one split in memory: `images` uint8 `(N, 3, height, width)`, `masks` uint8 `(N, height, width)`.

        Args:
            name: `train` or `val`.
            height: Pixels of images and masks in memory.
            width: As `height`.
            keep_native: Keep the masks at their own size too.
            sheet: A file for a sheet of pictures with their masks, written if the masks look wrong; None for no file.
            on_note: Called with lines that say what is loaded, and how much of it is person.

        Raises:
            DataError: An image or a mask is missing, broken, or does not match.
            UsageError: There is no such split, or a size is below 1.
        """
        told = on_note or (lambda text: None)
        told(f"loading the {name} images of {self.source} at {height}x{width}")
        if self.source == SYNTHETIC:
            return self._drawn(name, height, width, keep_native)
        from latlas.supernet.data.checks import person_share, void_share
        from latlas.supernet.data.folder import load_folder

        found = load_folder(
            Path(self.source), name, height, width, keep_native, mask_values=self.mask_values or None, sheet=sheet
        )
        void = f", {void_share(found):.1%} void" if void_share(found) else ""
        told(f"{len(found)} images, {person_share(found):.1%} of the known pixels are person{void}")
        return found

    def _drawn(self, name: str, height: int, width: int, keep_native: bool) -> Dataset:
        from latlas.supernet.data.dataset import synthetic

        validates = name == "val"
        count = max(LEAST_VALIDATION, self.images // VALIDATION_SHARE) if validates else self.images
        # Training uses even seeds and validation odd ones, so no seed draws the same images for both.
        return synthetic(count, height, width, 2 * self.seed + validates, keep_native=keep_native)


def load_data(source: str | Path = SYNTHETIC, *, images: int = 2000, mask_values: str = "", seed: int = 0) -> Data:
    """Images with masks of persons, for training and for validation; each split is read when it is asked for.

    Args:
        source: A folder of images and masks, or `synthetic` for drawn portraits.
        images: The number of drawn training images; not used for a folder.
        mask_values: Which values of the masks are person, and which are void and ignored, such as `person=15,void=255`; "" if
            the values themselves are clear.
        seed: Seed of the drawn images.

    Raises:
        DataError: There is no such folder.
        UsageError: `mask_values` cannot be read, or is given for drawn images.

    Example:
        >>> import latlas
        >>> data = latlas.load_data("synthetic", images=4)
        >>> train = data.split("train", 64, 48)
        >>> tuple(train.images.shape), tuple(train.masks.shape)
        ((4, 3, 64, 48), (4, 64, 48))
    """
    if mask_values:
        from latlas.supernet.data.mask_values import parse_mask_values

        parse_mask_values(mask_values)
    if str(source) == SYNTHETIC and mask_values:
        raise UsageError("--mask-values is for masks that are read; leave it out with --data synthetic")
    if str(source) != SYNTHETIC and not Path(source).is_dir():
        raise DataError(f"{source}: no such folder; name one of images and masks, or `{SYNTHETIC}` for drawn ones")
    return Data(str(source), images, mask_values, seed)
