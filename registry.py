"""Registries of operators, spaces, strategies and table formats by name. Other packages can add to them.

A name is looked up in these places, in this order, until it is found:

    1. Latlas itself, and what a program registered with a call (`latlas.register_space` and the like);
    2. the packages that `--import` names, which register their things when they are imported;
    3. the entry points of installed packages, such as `ribbon = "my_package.space:Ribbon"` in the group `latlas.spaces`.

If a package cannot be loaded, a `UsageError` of one line names it, but only when one of its names is used.
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
    """Note packages for `import_requested`; with `from_here` the working folder is searched too, last.

    Raises `UsageError` for a text that cannot be the name of a package.
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
    """Forget requested packages that were not imported, for example after a command line that only asked for help."""
    _requested.clear()


def import_requested() -> None:
    """Import the requested packages; each registers its things. Raises `UsageError` if one cannot be imported."""
    for name in list(_requested):
        del _requested[name]
        _load(name, f"--import {name}: the package")
        _imported[name] = None


def imported_packages() -> tuple[str, ...]:
    """The names of the packages that were requested and imported, in order."""
    return tuple(_imported)


def _load(reference: str, what: str) -> Any:
    """The module `a.b`, or the thing `a.b:C.d` in it. If there is none, raises a `UsageError` that begins with `what`."""
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
    """The callable that a reference such as `my_package.torch_part:Blur` names; a callable is returned as it is.

    Raises a `UsageError` that begins with `what` if it cannot be loaded or is not callable.
    """
    found = _load(reference, f"{what}, {reference},") if isinstance(reference, str) else reference
    if not callable(found):
        raise UsageError(f"{what} is {found!r:.80}; it must be a callable, or name one as package.module:name")
    return found


def owner_of(definition: object) -> str:
    """The owner of a class or function: `Latlas`, or `package NAME`."""
    package = _definition(definition)[0].partition(".")[0]
    return "Latlas" if package == "latlas" else f"package {package}"


def package_versions(definitions: Iterable[object]) -> dict[str, str]:
    """The versions of the other packages that define these classes and functions, by package name.

    The version is `unknown` for a package that is not installed, such as a module in the working folder.
    """
    packages = {_definition(one)[0].partition(".")[0] for one in definitions} - {"latlas", "builtins"}
    if not packages:
        return {}
    from importlib import metadata

    installed = metadata.packages_distributions()
    return {name: metadata.version(installed[name][0]) if name in installed else "unknown" for name in sorted(packages)}


def _definition(definition: object) -> tuple[str, str]:
    """The module and the name of a class or function, or of a reference to one."""
    if isinstance(definition, str):
        return definition.partition(":")[0], definition
    kind = type(definition)
    module = getattr(definition, "__module__", kind.__module__)
    return str(module), str(getattr(definition, "__qualname__", kind.__qualname__))


class Registry(Generic[Thing]):
    """The things of one sort, by name.

    Args:
        what: A word for one of them in messages, such as `space`.
        group: The entry-point group of other packages.
        own: Latlas' own things by name, each as a reference `module:name` that is loaded on first use.
        read: Makes the thing from the `(name, value)` of an entry point; raises `UsageError` for a wrong value.
        definition: The class or function that defines a thing, or a reference to it; its package owns the thing.
        error: The error for an unknown name.
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
        """Register a thing under its name.

        The same definition may be run again, as in a notebook, and replaces itself. Raises a `UsageError` that names both
        owners if another thing has the name.
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
        """The thing with this name; raises the registry's error if there is none, or if it cannot be loaded."""
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
        """Whether a name is known; loads no more than needed."""
        if name in self._things or name in self._own:
            return True
        import_requested()
        return name in self._things or name in self._offered()

    def names(self) -> tuple[str, ...]:
        """All known names: Latlas' own in their order, then the others, sorted. It lists entry points without loading them."""
        import_requested()
        return (*self._own, *sorted({*self._things, *self._offered()} - self._own.keys()))

    def loadable(self) -> Iterator[Thing]:
        """All known things in the order of `names`. A package that cannot be loaded is left out with a warning."""
        yield from map(self.get, self._own)
        for name in self.names()[len(self._own) :]:
            try:
                yield self.get(name)
            except UsageError as error:
                log.warning("%s", error)

    def own(self) -> tuple[str, ...]:
        """Latlas' own names, in their order; looks nothing up."""
        return tuple(self._own)

    def loaded(self) -> dict[str, Thing]:
        """The things that are registered or loaded so far, by name."""
        return dict(self._things)

    def _is_ours(self, name: str) -> bool:
        held = self._things.get(name)
        return name in self._own or (held is not None and owner_of(self._defined(held)) == "Latlas")

    def _offered(self) -> dict[str, list[EntryPoint]]:
        """The entry points of other packages by name; looked up again only if `sys.path` has changed."""
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
        if name in self._things:  # the package registered it when it was imported
            return self._things[name]
        try:
            self.add(name, self._read(name, value))
        except UsageError as error:
            raise UsageError(f"{what}: {error}") from None
        return self._things[name]


def _of(entry: EntryPoint) -> str:
    return f"package {entry.dist.name if entry.dist else entry.value.partition('.')[0]}"
