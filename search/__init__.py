"""The search: strategies, the constraint, and the run of one search.

The package can also be called: `latlas.search(...)` runs a search. `help(latlas.api.search.search)` lists the options.

Example:
    >>> import latlas
    >>> latlas.search("predictor", "supernet.safetensors", budget_ms="resnet")
    Traceback (most recent call last):
    ...
    latlas.errors.UsageError: portrait has no baseline 'resnet'; it has mobilenetv3_large, mobilenetv3_small
"""
