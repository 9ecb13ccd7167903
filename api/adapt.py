"""`adapt_predictor` adapts predictors from other environments with a few subnets that are measured in the new one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.fit import require_predictors_place
from latlas.api.keywords import with_fields
from latlas.api.setting import Measuring, OnNote, OnProgress, tell_nobody
from latlas.errors import FileFormatError, UsageError
from latlas.files.places import require_can_write
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.fitting.adapt import Source
    from latlas.latency.fitting.measurements import Measurement
    from latlas.latency.machine.environment import Environment
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.spaces.space import SearchSpace

MAX_ENVIRONMENT_BYTES = 1_000_000
SUBNETS = 20
"""The number of subnets that are measured by default."""
SAMPLES = "Adapting with --samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOptions(Measuring):
    """The options of `adapt_predictor`.

    Attributes:
        on_note, on_progress: See `latlas.api.setting`.
    """

    subnets: int | None = option(
        None,
        "Subnets to measure here and to learn from, 5 or more. Default: 20. With --samples: lines to learn from; the others "
        "are tested on. Default: all.",
    )
    test: int = option(0, "Further subnets to measure, for the figures alone.", at_least=0)
    goal: float = option(0.05, "Mean relative error below which the subnets are called enough.")
    samples: str | Path | None = option(
        None,
        "CSV of measured networks. Then nothing is measured here.",
        group=SAMPLES,
        metavar="FILE",
        read=lambda text: Path(text) if text else None,
    )
    target: str = option("latency_ms", "Its column of latencies.", group=SAMPLES)
    unit: str | None = option(
        None, "s, ms, us or ns, if the target's name or cells do not say it.", group=SAMPLES, metavar="UNIT"
    )
    column: str = option("architecture", "Its column of architectures.", group=SAMPLES)
    environment: str | Path | None = option(
        None,
        "Its environment, as JSON from `latlas measure --json`. Without it, only what the options say is known.",
        group=SAMPLES,
        metavar="FILE",
        read=lambda text: Path(text) if text else None,
    )
    cpu_model: str = option("", "Its CPU's name, if no --environment is given.", group=SAMPLES)
    out: str | Path = option(
        Path("adapted"),
        "Folder of the adapted predictor.",
        metavar="FOLDER",
        read=Path,
        shown="adapted",
        before=require_can_write,
    )
    force: bool = option(False, "Replace what is there.")
    on_note: OnNote | None = None
    on_progress: OnProgress | None = None


@with_fields(AdaptOptions)
def adapt_predictor(predictors: Sequence[str | Path], options: AdaptOptions) -> SavedPredictor:
    """A predictor for another environment: existing predictors, adapted with a few subnets that are measured there.

    `figures["enough"]` says whether the subnets were enough, `figures["too_few_because"]` why not. The predictor is written to
    the folder `out`. After a kill or Ctrl-C the same call goes on from `<out>.journal`.

    Args:
        predictors: Folders of predictors of one space.

    Raises:
        UsageError: The folder is there already, options do not go together, or a predictor is of this environment already.
        EnvironmentMismatchError: The predictors are of several spaces.
        FileFormatError: A predictor, the samples or the environment are not valid.
        InterruptedRunError: Ctrl-C.

    Example:
        >>> import latlas
        >>> adapted = latlas.adapt_predictor(["predictor"], samples="elsewhere.csv", cpu_model="Another CPU", subnets=8)
        >>> adapted.figures["train"], adapted.environment.cpu_model
        (8, 'Another CPU')
        >>> latlas.load_predictor("adapted").space == latlas.load_predictor("predictor").space
        True
    """
    from latlas.files.lock import waiting_at_most
    from latlas.latency.fitting.adapt import Source, adapt, require_adaptable
    from latlas.latency.predictor.predictor_file import save_predictor
    from latlas.spaces.text import parse_space

    started = time.monotonic()
    out = Path(options.out)
    require_predictors_place(out, options.force)
    sources = [Source.read(Path(path)) for path in predictors]
    space = parse_space(require_adaptable(sources))
    journal = out.with_name(out.name + ".journal")
    with waiting_at_most(options.lock_timeout):
        found = _measured if options.samples is None else _given
        train, held, there, figures = found(sources, space, options, journal)
    saved = adapt(sources, train, held, there, space, goal=options.goal, seed=options.seed)
    saved.figures.update(figures, seconds=time.monotonic() - started)
    save_predictor(out, saved, overwrite=options.force)
    if options.samples is None:
        journal.unlink(missing_ok=True)
    return saved


def _measured(
    sources: Sequence[Source], space: SearchSpace, options: AdaptOptions, journal: Path
) -> tuple[list[Measurement], list[Measurement], Environment, dict[str, Any]]:
    """Measured subnets to learn from, others to test on, this environment, and no further figures."""
    from latlas.latency.fitting.adapt import local_environment, require_adaptable, to_measure
    from latlas.latency.fitting.fit import collect_these
    from latlas.latency.fitting.measurements import Measurement
    from latlas.supernet.operators.timed import timing_operator

    if options.environment is not None or options.cpu_model:
        raise UsageError("--environment and --cpu-model are of --samples; what is measured here is of this machine")
    setting = options.setting()
    count, told = SUBNETS if options.subnets is None else options.subnets, options.on_progress or tell_nobody
    require_adaptable(sources, local_environment(setting))  # before measuring, not after
    asked = to_measure(sources, space, count, options.test, setting.seed)
    made = {"space": space.text, "subnets": count, "test": options.test, "sources": [one.sha256 for one in sources]}
    found, environment = collect_these(
        asked,
        made,
        setting,
        journal,
        build_module=timing_operator,
        on_note=options.on_note,
        on_progress=lambda p: told(p.done, p.total, "", p.eta_seconds, ""),
    )
    learn = set(asked[:count])
    both = [(one.architecture in learn, one) for one in found]
    train, held = (
        [Measurement(s.architecture, s.latency_ms, s.lower_ms, s.upper_ms) for mine, s in both if mine == wanted]
        for wanted in (True, False)
    )
    return train, held, environment, {}


def _given(
    sources: Sequence[Source], space: SearchSpace, options: AdaptOptions, journal: Path
) -> tuple[list[Measurement], list[Measurement], Environment, dict[str, Any]]:
    """The samples of a file to learn from, the others if a count is given, their environment, and figures about the file."""
    from latlas.latency.fitting.choose import most_informative
    from latlas.latency.fitting.measurements import read_measurements
    from latlas.latency.predictor.adapted import common_sources

    assert options.samples is not None
    file = read_measurements(Path(options.samples), space, options.target, options.column, options.unit)
    found, figures = file.measurements, file.figures()
    there, count = _environment_of(options), options.subnets
    if count is None or count >= len(found):
        return found, [], there, figures
    graphs = [one.architecture.graph() for one in found]
    cost_of, _ = common_sources([one.saved.predictor for one in sources], space.specs())
    order = most_informative(graphs, graphs, [], max(1, count), cost_of=cost_of)
    others = [one for i, one in enumerate(found) if i not in set(order)]
    return [found[i] for i in order], others, there, figures


def _environment_of(options: AdaptOptions) -> Environment:
    """The environment that a file states, or one with only the fields that the options state."""
    from latlas.files.records import parse_json
    from latlas.latency.machine.environment import Environment, told_environment

    if options.environment is None:
        return told_environment(
            cpu_model=options.cpu_model, threads=options.threads, precision=options.precision, batch=options.batch
        )
    if options.cpu_model:
        raise UsageError("--cpu-model and --environment say the same thing; give one")
    path = Path(options.environment)
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_ENVIRONMENT_BYTES else None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    if content is None:
        raise FileFormatError(f"{path}: larger than {MAX_ENVIRONMENT_BYTES} bytes; not an environment")
    record = parse_json(content, str(path))
    if isinstance(record, dict) and "environment" in record:
        record = record["environment"]
    return Environment.from_record(record, f"{path}, environment")
