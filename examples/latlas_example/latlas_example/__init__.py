"""An operator, a space and a strategy. The import registers them, so `--import latlas_example` works without installation."""

import latlas
from latlas_example.operator import GHOST
from latlas_example.space import RibbonSpace

latlas.register_operator(GHOST)
latlas.register_space(RibbonSpace)
latlas.register_strategy("hill", "latlas_example.strategy:HillClimb")
