"""The version of Latlas, and the command that installs a missing package.

Both are read from `pyproject.toml` in a checkout, and from the metadata of an installed wheel. They are written nowhere else.
"""

from __future__ import annotations

import shlex
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latlas.errors import MissingPackageError

NAME = "latlas"
ROOT = Path(__file__).resolve().parent
"""The package's folder: the checkout itself, or `site-packages/latlas`."""


@cache
def _project_in(root: Path) -> dict[str, Any] | None:
    """The table `project` of the `pyproject.toml` of Latlas in a folder; None if there is none."""
    import tomllib

    try:
        project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, ValueError):
        return None
    return project if project.get("name") == NAME else None


def latlas_version() -> str:
    """The version of Latlas, such as `0.3.0`; `unknown` if it is neither a checkout nor installed."""
    project = _project_in(ROOT)
    if project is not None:
        return str(project["version"])
    from importlib import metadata

    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "unknown"


def requirements(extra: str = "") -> list[str]:
    """The requirements of an extra, or of Latlas itself: names with versions, such as `optuna>=5.0,<6`."""
    project = _project_in(ROOT)
    if project is not None:
        found = project["optional-dependencies"].get(extra, []) if extra else project["dependencies"]
        return [str(one) for one in found]
    from importlib import metadata

    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []
    parted = [line.partition(";") for line in lines]
    wanted = f'extra=="{extra}"' if extra else ""
    return [text.strip() for text, _, marker in parted if marker.replace(" ", "").replace("'", '"') == wanted]


def how_to_install(extra: str) -> str:
    """The command that installs an extra, as it can be typed here.

    In a checkout it is `pip install -e '.[optuna]'`. No registry has Latlas, so with an installed wheel the command names the
    packages themselves: `pip install 'cmaes>=0.13,<1' 'optuna>=5.0,<6'`.
    """
    if _project_in(ROOT) is not None:
        folder = "." if Path.cwd() == ROOT else str(ROOT)
        return f"pip install -e {_quoted(f'{folder}[{extra}]')}"
    return " ".join(["pip install", *(_quoted(one) for one in requirements(extra) or [f"{NAME}[{extra}]"])])


def how_to_install_package(package: str) -> str:
    """The command that installs a package that Latlas depends on, within the versions that were tested."""
    found = [one for one in requirements() if _name_of(one) == _normal(package)]
    return f"pip install {_quoted(found[0] if found else package)}"


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not loaded."""
    try:
        # None stands in sys.modules for what must not be imported.
        return sys.modules.get(module, ...) is not None and (module in sys.modules or find_spec(module) is not None)
    except (ImportError, ValueError):
        return False


def require_torch(what: str) -> None:
    """Raises `MissingPackageError` if torch is not installed; `what` says who needs it, such as `train-supernet`."""
    if not is_installed("torch"):
        raise MissingPackageError(f"{what} needs torch, which is not installed: {how_to_install_package('torch')}")


def missing_package(error: ModuleNotFoundError) -> MissingPackageError | None:
    """The one-line error for a missing package that Latlas depends on; None for any other module."""
    module = (error.name or "").partition(".")[0]
    package = _PACKAGES.get(module, module)
    if not any(_name_of(one) == _normal(package) for one in requirements()):
        return None
    return MissingPackageError(
        f"this needs the package {package}, which is not installed: {how_to_install_package(package)}"
    )


_PACKAGES = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}
"""The package of each module that has another name than its package."""


def _name_of(requirement: str) -> str:
    end = next((k for k, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return _normal(requirement[:end])


def _normal(package: str) -> str:
    return package.lower().replace("_", "-").replace(".", "-")


def _quoted(text: str) -> str:
    """A word for a shell, always in quotes, because brackets and `<` have a meaning in most shells."""
    quoted = shlex.quote(text)
    return quoted if quoted.startswith("'") else f"'{quoted}'"
