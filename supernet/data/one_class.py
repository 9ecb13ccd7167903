"""What is trained so far: person or not."""

from __future__ import annotations

from latlas.errors import UsageError
from latlas.spaces.graph import Graph


def require_person_or_not(graph: Graph) -> None:
    """Raises `UsageError` for a network of several classes: asked before images are loaded, which are not to blame."""
    classes = graph[-1].spec.out_channels
    if classes != 1:
        raise UsageError(
            f"the network has {classes} classes; only person or not is trained so far, so leave num_classes={classes} out of "
            "the space"
        )
