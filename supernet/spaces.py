"""Every search space that comes with Latlas; importing this registers them."""

from latlas.supernet.dpc import DpcSpace
from latlas.supernet.nasbench201 import NasBench201
from latlas.supernet.portrait import PortraitSpace

__all__ = ["DpcSpace", "NasBench201", "PortraitSpace"]
