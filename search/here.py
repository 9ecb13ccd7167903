"""Whether a predictor is of this machine."""

from __future__ import annotations

from latlas.latency.environment import Environment, differing_fields
from latlas.latency.errors import EnvironmentMismatchError
from latlas.latency.profile import Setting


def environment_here(setting: Setting) -> Environment:
    """The environment of what would be measured on this machine with this setting."""
    from latlas.latency.reference import reference_of
    from latlas.latency.runtime import openvino_version

    return setting.environment_of(openvino_version(), reference_of("network").id, None)


def require_here(environment: Environment, what: str) -> None:
    """Raises `EnvironmentMismatchError` that names each key field in which a predictor's environment is not this machine's.

    Threads, precision and batch are the predictor's own: those are asked for, and not what a machine is.
    """
    setting = Setting(
        precision=environment.precision,
        threads=environment.threads or 1,
        streams=environment.streams or 1,
        batch=environment.batch or 1,
    )
    differing = differing_fields(environment, environment_here(setting))
    if differing:
        listed = "; ".join(f"{name} is {one!r}, here {other!r}" for name, (one, other) in differing.items())
        raise EnvironmentMismatchError(
            f"cannot {what}: {listed}; adapt the predictor with a few subnets measured here (`latlas predictor adapt`), "
            "or make one with `latlas fit-predictor`"
        )
