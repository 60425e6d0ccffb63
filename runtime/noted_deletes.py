"""A store that notes what is deleted, and deletes it or not."""

from __future__ import annotations

from holdfast.runtime.errors import StoreRefused
from holdfast.runtime.stores.base import Content, Listing, Quota, Store


class NotedDeletes(Store):
    """Reads from a store, creates nothing, and notes what is deleted.

    Args:
        inner: The store.
        dry: Deletes nothing.

    Attributes:
        deleted: Names of what was deleted, or would have been, in that order.
    """

    def __init__(self, inner: Store, *, dry: bool) -> None:
        self.inner, self.dry, self.deleted = inner, dry, list[str]()
        self.capabilities, self.url = inner.capabilities, inner.url

    def under(self, prefix: str) -> Store:
        return NotedDeletes(self.inner.under(prefix), dry=self.dry)

    def check(self) -> None:
        """Nothing is to be written here."""

    def create(self, name: str, content: Content) -> None:
        del content
        raise StoreRefused("Nothing is created here", where=f"{self.url}/{name}")

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        self.inner.read_into(name, offset, buffer)

    def size(self, name: str) -> int:
        return self.inner.size(name)

    def list(self, prefix: str) -> Listing:
        return self.inner.list(prefix)

    def leftovers(self, prefix: str) -> dict[str, str]:
        return self.inner.leftovers(prefix)

    def quota(self) -> Quota | None:
        return self.inner.quota()

    def delete(self, name: str) -> None:
        if not self.dry:
            self.inner.delete(name)
        self.deleted.append(name)
