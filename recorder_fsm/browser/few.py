"""A warning that is logged a few times: a page may do the same thing without end, for hours."""

from __future__ import annotations

from loguru import logger

MOST = 20


class FewWarnings:
    """Logs at most `MOST` warnings, and says so with the last."""

    def __init__(self) -> None:
        self._logged = 0

    def tell(self, words: str, *values: object) -> None:
        """Log `words`, with `values` at its braces, or be silent."""
        self._logged += 1
        if self._logged <= MOST:
            logger.warning(words + (" (the like is not logged again)" if self._logged == MOST else ""), *values)
