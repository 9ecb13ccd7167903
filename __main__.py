"""`python -m latlas` runs the command line, also where the script `latlas` is not on the path."""

from __future__ import annotations

from latlas.cli import main

if __name__ == "__main__":
    main()
