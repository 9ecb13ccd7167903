"""Every search space that comes with Latlas; importing this registers them."""

from latlas.supernet.nasbench201 import NasBench201
from latlas.supernet.portrait import PortraitSpace

__all__ = ["NasBench201", "PortraitSpace"]
