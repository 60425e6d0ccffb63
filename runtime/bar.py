"""The progress bar."""

from __future__ import annotations

from tqdm import tqdm


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar of tqdm without the thread by which tqdm watches its bars, and which it never ends."""

    monitor_interval = 0

    def reached(self, done: int, total: int) -> None:
        """So much is done now, of so much."""
        self.total = total
        self.update(done - self.n)
