"""Things that Latlas knows by name, and that others add to: operators, spaces, strategies, formats of tables.

A name is looked up in this order, and only as far as needed:

    1. what is Latlas' own, and what a program registered by a call (`latlas.register_space` and the like);
    2. the packages asked for by `--import`, which register what they have as they are imported;
    3. the entry points of installed packages, such as `ribbon = "my_package.space:Ribbon"` in the group `latlas.spaces`.

A package that cannot be loaded is a `UsageError` of one line that names it, and only where its name is asked for.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from latlas.choices import unknown
from latlas.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")

_PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_requested: dict[str, None] = {}
_imported: dict[str, None] = {}


def request_imports(names: Iterable[str], from_here: bool = False) -> None:
    """Note packages that `import_requested` is to import; with `from_here` the working folder is searched too, last.

    Raises `UsageError` for what is no package's name.
    """
    for name in names:
        if not _PACKAGE.fullmatch(name):
            raise UsageError(
                f"--import is {name!r:.80}; it must be the name of a package or module, such as my_package"
            )
        _requested[name] = None
        if from_here and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())


def forget_requests() -> None:
    """Forget packages that were asked for and not imported yet, as those of a command line that was only asked for help."""
    _requested.clear()


def import_requested() -> None:
    """Import the packages that were asked for; each registers what it has. Raises `UsageError` where one cannot be imported."""
    for name in list(_requested):
        del _requested[name]
        _load(name, f"--import {name}: the package")
        _imported[name] = None


def imported_packages() -> tuple[str, ...]:
    """Names of the packages that were asked for and imported, in order."""
    return tuple(_imported)


def _load(reference: str, what: str) -> Any:
    """The module `a.b`, or the thing `a.b:C.d` in it; `what` begins the message of the `UsageError` that is raised else."""
    module, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in filter(None, path.split(".")):
            found = getattr(found, name)
    except (Exception, SystemExit) as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{what} cannot be loaded: {cause[:300]}") from error
    return found


def resolve(reference: str | Callable[..., Any], what: str) -> Callable[..., Any]:
    """What a reference such as `my_package.torch_part:Blur` names; a callable is itself.

    Raises `UsageError`, whose message begins with `what`, where it cannot be loaded or is no callable.
    """
    found = _load(reference, f"{what}, {reference},") if isinstance(reference, str) else reference
    if not callable(found):
        raise UsageError(f"{what} is {found!r:.80}; it must be a callable, or name one as package.module:name")
    return found


def owner_of(definition: object) -> str:
    """Whose a class or function is: `Latlas`, or `package NAME`."""
    package = _definition(definition)[0].partition(".")[0]
    return "Latlas" if package == "latlas" else f"package {package}"


def package_versions(definitions: Iterable[object]) -> dict[str, str]:
    """The versions of other packages that these classes and functions are of, by the packages' names.

    The version is `unknown` for a package that is not installed, as a module of the working folder.
    """
    packages = {_definition(one)[0].partition(".")[0] for one in definitions} - {"latlas", "builtins"}
    if not packages:
        return {}
    from importlib import metadata

    installed = metadata.packages_distributions()
    return {name: metadata.version(installed[name][0]) if name in installed else "unknown" for name in sorted(packages)}


def _definition(definition: object) -> tuple[str, str]:
    """The module and the name under which a class or function was defined, or that a reference says."""
    if isinstance(definition, str):
        return definition.partition(":")[0], definition
    kind = type(definition)
    module = getattr(definition, "__module__", kind.__module__)
    return str(module), str(getattr(definition, "__qualname__", kind.__qualname__))


class Registry(Generic[Thing]):
    """The things of one sort by their names.

    Args:
        what: What one is called in messages, such as `space`.
        group: The group of entry points that other packages offer theirs in.
        own: Latlas' own by name, each as a reference `module:name` that is loaded when it is asked for.
        read: The thing that an entry point `(name, value)` stands for; raises `UsageError` for a value that is none.
        definition: The class or function, or a reference to it, that says whose a thing is.
        error: What is raised for an unknown name.
    """

    def __init__(
        self,
        what: str,
        group: str,
        own: Mapping[str, str] | None = None,
        *,
        read: Callable[[str, Any], Thing],
        definition: Callable[[Thing], object] = lambda thing: thing,
        error: type[UsageError] = UsageError,
    ) -> None:
        self._what, self._group, self._error = what, group, error
        self._own = dict(own or {})
        self._read, self._defined = read, definition
        self._things: dict[str, Thing] = {}
        self._offers: tuple[tuple[str, ...], dict[str, list[EntryPoint]]] | None = None

    def add(self, name: str, thing: Thing) -> None:
        """Make a thing known by its name.

        A definition that is run again, as a notebook's cell is, takes its own place. Raises `UsageError`, which names both
        owners, where another has the name.
        """
        held = self._things.get(name)
        if held is None and name in self._own:
            held = self.get(name)
        if held is not None and _definition(self._defined(held)) != _definition(self._defined(thing)):
            raise UsageError(
                f"{self._what} {name!r} is registered already, by {owner_of(self._defined(held))}; "
                f"{owner_of(self._defined(thing))} must give its own another name"
            )
        self._things[name] = thing

    def get(self, name: str) -> Thing:
        """The thing of that name; raises the registry's error where there is none, or it cannot be loaded."""
        try:
            return self._things[name]
        except (KeyError, TypeError):
            pass
        if isinstance(name, str):
            if name in self._own:
                self._things[name] = self._read(name, _load(self._own[name], f"{self._what} {name!r}"))
                return self._things[name]
            import_requested()
            if name in self._things:
                return self._things[name]
            if name in self._offered():
                return self._from_entry_point(name)
        raise self._error(
            f"{unknown(self._what, name, self.names())}; "
            "for one of another package install that, or give `--import PACKAGE`"
        )

    def __contains__(self, name: str) -> bool:
        """Whether a name is known; loads what it must, and no more."""
        if name in self._things or name in self._own:
            return True
        import_requested()
        return name in self._things or name in self._offered()

    def names(self) -> tuple[str, ...]:
        """All known names: Latlas' own in their order, then the others, sorted. Entry points are listed and not loaded."""
        import_requested()
        return (*self._own, *sorted({*self._things, *self._offered()} - self._own.keys()))

    def loadable(self) -> Iterator[Thing]:
        """All known things in the order of `names`; a package that cannot be loaded is a warning, and left out."""
        yield from map(self.get, self._own)
        for name in self.names()[len(self._own) :]:
            try:
                yield self.get(name)
            except UsageError as error:
                log.warning("%s", error)

    def own(self) -> tuple[str, ...]:
        """The names that Latlas itself has, in their order; looks nothing up."""
        return tuple(self._own)

    def loaded(self) -> dict[str, Thing]:
        """The things that were registered or loaded so far, by name."""
        return dict(self._things)

    def _is_ours(self, name: str) -> bool:
        held = self._things.get(name)
        return name in self._own or (held is not None and owner_of(self._defined(held)) == "Latlas")

    def _offered(self) -> dict[str, list[EntryPoint]]:
        """The entry points of other packages by name, looked up anew only where Python looks elsewhere than before."""
        path = tuple(sys.path)
        if self._offers is None or self._offers[0] != path:
            from importlib import metadata  # here, as most commands need no entry point

            found: dict[str, list[EntryPoint]] = {}
            for entry in metadata.entry_points(group=self._group):
                if self._is_ours(entry.name):
                    log.warning(
                        "%s offers the %s %r, which is Latlas' own; it is left out", _of(entry), self._what, entry.name
                    )
                else:
                    found.setdefault(entry.name, []).append(entry)
            self._offers = path, found
        return self._offers[1]

    def _from_entry_point(self, name: str) -> Thing:
        entry, *others = self._offered()[name]
        if others:
            owners = " and ".join(sorted(_of(one) for one in (entry, *others)))
            raise UsageError(f"{self._what} {name!r} is offered by {owners}; uninstall one of them")
        what = f"{self._what} {name!r} of {_of(entry)} ({entry.value})"
        value = _load(entry.value, what)
        if name in self._things:  # the package registered it as it was imported
            return self._things[name]
        try:
            self.add(name, self._read(name, value))
        except UsageError as error:
            raise UsageError(f"{what}: {error}") from None
        return self._things[name]


def _of(entry: EntryPoint) -> str:
    return f"package {entry.dist.name if entry.dist else entry.value.partition('.')[0]}"
