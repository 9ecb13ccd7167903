"""Every search space that comes with Latlas; importing this registers them."""

from latlas.spaces.dpc import DpcSpace
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.portrait import PortraitSpace

__all__ = ["DpcSpace", "NasBench201", "PortraitSpace"]
