"""Checks, before any image is loaded, that a network can be trained and that an image size fits it."""

from __future__ import annotations

from latlas.errors import UsageError
from latlas.spaces.graph import Graph, check_graph
from latlas.spaces.settings import sizes_that_work


def require_person_or_not(graph: Graph) -> None:
    """Raise `UsageError` for a network with several classes. Call it before images are loaded; they are not to blame."""
    classes = graph[-1].spec.out_channels
    if classes != 1:
        raise UsageError(
            f"the network has {classes} classes; only person or not is trained so far, so leave num_classes={classes} out of "
            "the space"
        )


def require_multiple(graph: Graph, size: tuple[int, int], what: str) -> None:
    """Raise `UsageError` if the network cannot halve `size` (height, width) evenly. `what` names what has that size."""
    multiple = check_graph(graph)[1] // min(node.spec.height for node in graph)
    if min(size) < multiple or size[0] % multiple or size[1] % multiple:
        raise UsageError(
            f"{what} are {size[0]}x{size[1]}; the network needs multiples of {multiple}; {sizes_that_work(*size, multiple)}"
        )
