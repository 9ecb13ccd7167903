"""The exceptions of Latlas, and the exit code each one gives the command line.

    LatlasError                      1  what was asked for was not achieved
    +-- CompileTimeoutError          1  (also TimeoutError)  the compiler hung or died on a network
    +-- StorageError                 1  (also OSError)       a disk is full, or takes no more
    +-- InfeasibleBudgetError        1  (also ValueError)    no network of the space is within the budget
    +-- DivergedError                1  (also ArithmeticError)  the loss of a training is not finite
    +-- UnreachableError             1  (also ConnectionError)  a store of tables did not answer
    +-- MergeConflictError           1                       tables have latencies of one operator that disagree
    +-- UsageError                   2  (also ValueError)    an argument is wrong
    |   +-- AlreadyExistsError       2  (also FileExistsError)  a file or folder that may not be replaced
    |   +-- UnknownOperatorError     2  (also KeyError)
    |   +-- UnknownSpaceError        2  (also KeyError)
    |   +-- MissingPackageError      2  (also ImportError) a package is not installed
    |   `-- DataError                2                       images and masks are missing or do not match
    +-- FileFormatError              3  (also ValueError)    a file is broken, hostile or of another schema
    +-- EnvironmentMismatchError     3  (also ValueError)    made on another device, precision, thread count or space
    +-- MissingEntryError            3  (also KeyError)      the table has no row for an operator
    `-- InterruptedRunError          4                       stopped by the user; resumable

Every message says what, the value, and what to do.
"""

import re
from collections.abc import Sequence
from typing import Any

_PASSWORD = re.compile(r"(://[^\s:/@]*):\S*@")
_TOKEN = re.compile(r"(https?://)[^\s:/@]+@")
_QUERY = re.compile(r"(?i)([?&;][\w-]*(?:password|passwd|pwd|token|secret|signature|sig|key)=)[^\s&;'\"]+")


def without_passwords(text: str) -> str:
    """The text with `***` for each password, token and secret query value in its URLs.

    Example:
        >>> without_passwords("postgresql://me:s3cr3t@host/searches cannot be opened")
        'postgresql://me:***@host/searches cannot be opened'
    """
    return _QUERY.sub(r"\1***", _TOKEN.sub(r"\1***@", _PASSWORD.sub(r"\1:***@", text)))


class LatlasError(Exception):
    """The base of all errors that Latlas raises on purpose; the command line returns `exit_code`.

    Messages never contain a password: it is taken out of URLs.
    """

    exit_code = 1

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(without_passwords(one) if isinstance(one, str) else one for one in arguments))

    def __str__(self) -> str:
        # KeyError's own __str__ would print the repr of the message.
        return " ".join(str(argument) for argument in self.args)


class CompileTimeoutError(LatlasError, TimeoutError):
    """Compiling or loading a network did not end in time, or ended its process."""


class StorageError(LatlasError, OSError):
    """A file cannot be written, for example because the disk is full. Work that was finished before is kept."""


class InfeasibleBudgetError(LatlasError, ValueError):
    """No network of the space is within the budget."""


class DivergedError(LatlasError, ArithmeticError):
    """The loss of a training, or its gradient, is not finite."""


class UnreachableError(LatlasError, ConnectionError):
    """A store of tables did not answer, or gave an answer that no store gives."""


class MergeConflictError(LatlasError):
    """Tables have latencies of one operator that disagree; `conflicts` are all of them."""

    def __init__(self, message: str, conflicts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class UsageError(LatlasError, ValueError):
    """An argument is wrong."""

    exit_code = 2


class AlreadyExistsError(UsageError, FileExistsError):
    """A file or folder is there already and may not be replaced."""


class UnknownOperatorError(UsageError, KeyError):
    """An operator that no registry knows."""


class UnknownSpaceError(UsageError, KeyError):
    """A search space that no registry knows."""


class MissingPackageError(UsageError, ImportError):
    """A package that was asked for is not installed; the message names the command that installs it."""


class DataError(UsageError):
    """Images and masks are missing, empty or do not match."""


class FileFormatError(LatlasError, ValueError):
    """A file is broken, hostile or of another schema."""

    exit_code = 3


class EnvironmentMismatchError(LatlasError, ValueError):
    """A table or predictor was made on another device, precision, thread count or space."""

    exit_code = 3


class MissingEntryError(LatlasError, KeyError):
    """A table has no row for an operator."""

    exit_code = 3


class InterruptedRunError(LatlasError):
    """The user stopped the run. Finished work is kept, and the same command goes on."""

    exit_code = 4
