"""The one retry wrapper: what may pass by itself is tried again, whatever the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from holdfast.runtime.errors import ObjectExists, StoreUnavailable
from holdfast.runtime.stores.base import Confirmation, Content, Listing, Quota, Store

if TYPE_CHECKING:
    import tenacity

FIRST_SECONDS: Final = 0.5
"""The longest first wait; each further one may be twice as long. Jitter is full: from zero up."""

LONGEST_SECONDS: Final = 30.0
"""No wait is longer."""

T = TypeVar("T")
Failed = Callable[[StoreUnavailable], None]


class Retrying(Store):
    """A store whose operations are tried again while they fail with `StoreUnavailable`.

    Truncated exponential backoff with full jitter, as
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ compares it. All other errors
    are permanent and pass at once.

    Args:
        inner: The store.
        deadline: Seconds after which the last failure is raised; 0 for no second try.
        failed: Told of each failure that is tried again.
    """

    def __init__(self, inner: Store, deadline: float, failed: Failed = lambda _: None) -> None:
        self.inner, self.deadline, self.failed = inner, deadline, failed
        self.capabilities, self.url = inner.capabilities, inner.url

    def under(self, prefix: str) -> Retrying:
        return Retrying(self.inner.under(prefix), self.deadline, self.failed)

    def check(self) -> None:
        self._persistently(self.inner.check)

    def create(self, name: str, content: Content) -> None:
        tries = 0

        def attempt() -> None:
            nonlocal tries
            tries += 1
            try:
                self.inner.create(name, content)
            except ObjectExists:
                # The try before may have come through although it was said to have failed.
                if tries == 1 or not self.inner.holds(name, content):
                    raise

        self._persistently(attempt)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        self._persistently(lambda: self.inner.read_into(name, offset, buffer))

    def read_ahead(self, name: str, offset: int, size: int) -> None:
        self.inner.read_ahead(name, offset, size)

    def size(self, name: str) -> int:
        return self._persistently(lambda: self.inner.size(name))

    def list(self, prefix: str) -> Listing:
        return self._persistently(lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        self._persistently(lambda: self.inner.delete(name))

    def leftovers(self, prefix: str) -> dict[str, str]:
        return self._persistently(lambda: self.inner.leftovers(prefix))

    def confirm(self, name: str, content: Content | None = None) -> Confirmation:
        return self._persistently(lambda: self.inner.confirm(name, content))

    def quota(self) -> Quota | None:
        return self._persistently(self.inner.quota)

    def holds(self, name: str, content: Content) -> bool:
        return self._persistently(lambda: self.inner.holds(name, content))

    def _persistently(self, act: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return act()
        except StoreUnavailable as error:
            return self._again(act, error, self.deadline - (time.monotonic() - began))

    def _again(self, act: Callable[[], T], first: StoreUnavailable, deadline: float) -> T:
        """What has failed once is tried on for so many seconds."""
        import tenacity  # it brings asyncio and tornado: not for what succeeds, as nearly all does

        failures = [first]

        def attempt() -> T:
            if failures:
                raise failures.pop()
            return act()

        def failed(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, StoreUnavailable):
                self.failed(error)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_SECONDS, max=LONGEST_SECONDS),
            stop=tenacity.stop_before_delay(deadline),
            before_sleep=failed,
            reraise=True,
        )
        return retrying(attempt)
