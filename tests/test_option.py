"""Options as fields: their bounds, what a class with them costs and checks."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from latlas.errors import UsageError
from latlas.option import Option, check_options, option, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    count: int = option(10, "Networks to draw.", at_least=1, at_most=100)
    share: float = option(0.5, "Share of them.", above=0, below=1)
    limit: float | None = option(None, "Seconds.", at_least=0)
    order: str = option("mixed", "Their order.", choices=("mixed", "sorted"))
    kinds: str = option("oval", "Their kinds.", choices=("oval", "square"), several=True)
    note: str = "no option"

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    "given",
    [
        {"count": 1},
        {"count": 100},
        {"share": 0.001},
        {"limit": 0},
        {"limit": None},
        {"order": "sorted"},
        {"note": ""},
        {"kinds": "square, oval"},
    ],
)
def test_values_within_their_bounds(given):
    assert {name: getattr(Drawing(**given), name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "^count is 0; it must be at least 1$"),
        ({"count": 101}, "^count is 101; it must be at most 100$"),
        ({"share": 0.0}, r"^share is 0\.0; it must be above 0$"),
        ({"share": 1.0}, r"^share is 1\.0; it must be below 1$"),
        ({"share": float("nan")}, "^share is nan; it must be above 0$"),
        ({"limit": float("inf")}, "^limit is inf; it must be at least 0$"),
        ({"kinds": "oval,,square"}, "^unknown kinds ''; known: oval, square$"),
        ({"kinds": "oval, squares"}, r"^unknown kinds 'squares'; known: oval, square; did you mean square\?$"),
        ({"order": "up"}, "^unknown order 'up'; known: mixed, sorted$"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_bound(given, message):
    with pytest.raises(UsageError, match=message):
        Drawing(**given)


def test_options_are_the_fields_that_have_help_in_their_order():
    assert list(options_of(Drawing)) == ["count", "share", "limit", "order", "kinds"]
    assert options_of(Drawing)["count"] == Option("Networks to draw.", at_least=1, at_most=100)


def test_classes_with_options_load_nothing_of_a_command_line_and_nothing_heavy():
    code = (
        "import sys, latlas.search.config, latlas.search.proxy_config\n"
        "print(sorted({'typer', 'rich', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
