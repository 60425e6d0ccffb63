"""Opening a store while a user waits for it."""

from __future__ import annotations

from typing import Final

from holdfast.runtime import report
from holdfast.runtime.errors import StoreUnavailable
from holdfast.runtime.stores import Store, open_store

STORE_SECONDS: Final = 60.0
"""How long an operation of the store is tried again while the user waits for it."""


def open_patiently(url: str) -> Store:
    """Opens a store that the user waits for: failures are tried again for a while, and said once."""
    return open_store(url, deadline=STORE_SECONDS, failed=_say_failure)


def _say_failure(error: StoreUnavailable) -> None:
    report.say_once("store slow", f"{error}. It is tried again")
