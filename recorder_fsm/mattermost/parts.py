"""How long the parts of an upload are: what the server and those before it take (contract 2.4, 2.5)."""

from __future__ import annotations

from recorder_fsm.mattermost.retry import MIB, PartSizes


class Parts:
    """The length of the next part, in bytes, as it follows from limits and refusals so far.

    `limit` is the server's MaxFileSize, None where it is not known. Where it is below what the server takes first, the
    first part is as long as it allows, and the server's answer decides.
    """

    def __init__(self, sizes: PartSizes) -> None:
        self.limit: int | None = None
        self._sizes = sizes
        self._largest = self._now = sizes.part

    @property
    def needed_first(self) -> int:
        """What the server takes first, at least."""
        return self._sizes.first_part

    @property
    def limit_in_the_way(self) -> bool:
        """Whether MaxFileSize may be what makes a first part too small."""
        return self.limit is None or self.limit < self._sizes.first_part

    def learn(self, limit: int | None) -> None:
        """Take note of MaxFileSize; None if it could not be read."""
        if limit is not None and limit != self.limit:
            self.limit = limit
            self._start_large()

    def least(self, offset: int, size: int) -> int:
        """Return how long a part at `offset` of a file of `size` bytes must be."""
        if offset > 0:
            return 1
        wanted = self._sizes.first_part if self.limit is None else min(self._sizes.first_part, self.limit)
        return min(wanted, size)

    def length(self, offset: int, size: int) -> int:
        """Return how long the part at `offset` of a file of `size` bytes is."""
        return min(max(self._now, self.least(offset, size)), size - offset)

    def went_well(self) -> None:
        """Make the next part larger."""
        self._now = min(self._largest, self._now * 2)

    def were_cut(self) -> None:
        """Make the next part smaller: some proxies cut what is too large for them."""
        self._now = max(self._now // 2, self._sizes.smallest)

    def too_large(self, length: int, offset: int, size: int) -> int | None:
        """Make all further parts smaller than `length`; returns how large, None where they cannot be.

        Somebody may be mending the limit that is in the way then: the next try begins with large parts again.
        """
        smaller = max(length // 2, self._sizes.smallest, self.least(offset, size))
        if smaller >= length:
            self._start_large()
            return None
        self._largest = self._now = smaller
        return smaller

    def _start_large(self) -> None:
        self._largest = self._now = min(self._sizes.part, self.limit or self._sizes.part)


def in_words(size: int) -> str:
    """Return a size in bytes as people read it."""
    return f"{size // MIB} MiB" if size >= MIB and size % MIB == 0 else f"{size} bytes"
