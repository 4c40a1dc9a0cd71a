"""Which rows `make test` plays: one of each kind. `make faults` plays all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(often: Collection[object], values: Iterable[object]) -> list[Any]:
    """Return the values for a parameter, those that are not among `often` marked slow: the same of another kind.

    A value that is a tuple is one for each of several parameters.
    """
    return [value if value in often else _slow(value) for value in values]


def _slow(value: object) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
