"""The ordinary operations at an emulator that others wrote, and the same answers at the tests' own server.

The emulator ignores preconditions, so what depends on them is in `test_gcs_faults`. Nor does it know
``startOffset``, and a range beyond the end is empty there, where Cloud Storage answers 416.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import storage

from helpers.gcs_emulator import emulator
from helpers.gcs_server import BUCKET, running
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.stores.base import Content, Listing
from holdfast.runtime.stores.gcs import GcsStore
from holdfast.runtime.stores.gcs_upload import CHUNK_BYTES

SERVERS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "emulator": lambda: emulator(BUCKET),
    "own": running,
}

LARGE = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"the end"


@pytest.fixture(params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[GcsStore]:
    with SERVERS[request.param]():
        yield GcsStore(BUCKET, "team/ünder")


def outcome(act: Callable[[], object]) -> object:
    """What it returns, or the kind of its error."""
    try:
        return act()
    except (HoldfastError, GoogleAPICallError) as error:
        return type(error).__name__


def at_both(act: Callable[[], list[object]]) -> list[list[object]]:
    """What it returns at the emulator, and at the tests' own server."""
    results = []
    for server in SERVERS.values():
        with server():
            results.append(act())
    return results


def test_a_store_does_there_what_a_store_does(store: GcsStore) -> None:
    store.check()
    run = store.under("run one")
    run.create("objects/small", Content.of(b"abc", memoryview(b"def")))
    run.create("objects/empty", Content.of())
    run.create("objects/large", Content.of(LARGE))
    run.create("manifests/a.json", Content.of(b"{}"))
    sizes = {"small": 6, "empty": 0, "large": len(LARGE)}
    assert run.list("objects") == Listing(sizes)
    assert store.list("run one") == Listing({}, frozenset({"objects", "manifests"}))
    assert run.read("objects/small", 3, 2) == b"cde"
    assert run.read("objects/large", len(LARGE)) == LARGE
    assert run.read("objects/large", 9, len(LARGE) - 9) == LARGE[-9:]
    assert [run.size(f"objects/{name}") for name in sizes] == list(sizes.values())
    assert run.holds("objects/large", Content.of(LARGE))
    assert not run.holds("objects/large", Content.of(LARGE[:-1] + b"?"))
    run.delete("objects/large")
    run.delete("objects/large")
    assert run.list("objects").sizes.keys() == {"small", "empty"}
    assert store.list("none") == Listing()


def test_errors_are_the_same_at_both() -> None:
    def all_of_them() -> list[object]:
        store, none = GcsStore(BUCKET, "x"), GcsStore("holdfast-none", "x")
        store.create("a", Content.of(b"abc"))
        return [
            outcome(lambda: store.read("a", 4)),
            outcome(lambda: store.read("a", 1, 3)),
            outcome(lambda: store.read("a", 0, 3)),
            outcome(lambda: store.read("none", 1)),
            outcome(lambda: store.size("none")),
            outcome(lambda: store.delete("none")),
            outcome(lambda: none.create("a", Content.of(b"abc"))),
            outcome(lambda: none.create("a", Content.of(LARGE))),
            outcome(lambda: none.list("objects")),
            outcome(none.check),
        ]

    emulators, own = at_both(all_of_them)
    assert emulators == own
    assert own == [
        "FormatInvalid",
        "FormatInvalid",
        b"",
        "ObjectNotFound",
        "ObjectNotFound",
        None,
        "StoreRefused",
        "StoreRefused",
        "StoreRefused",
        "StoreUnusable",
    ]


def test_objects_are_described_alike_at_both() -> None:
    def seen(bucket: Any) -> list[object]:
        blob = bucket.blob("ü/large", chunk_size=CHUNK_BYTES)
        blob.upload_from_string(LARGE, content_type="text/plain")
        found = [(blob.name, blob.bucket.name, blob.size, blob.crc32c, blob.md5_hash, blob.content_type)]
        blob = bucket.get_blob("ü/large")
        generation = blob.generation
        found.append((blob.name, blob.bucket.name, blob.size, blob.crc32c, blob.md5_hash, blob.content_type))
        blob.upload_from_string(b"anew")
        return [*found, blob.size, blob.generation > generation, bucket.get_blob("none")]

    emulators, own = at_both(lambda: seen(storage.Client(project=None).bucket(BUCKET)))
    assert emulators == own


def test_listings_are_alike_at_both() -> None:
    def seen(bucket: Any) -> list[object]:
        for name in ("a", "b/c", "b/d/e", "b/d/f", "b/ü", "b/Z", "bb", "g/h"):
            bucket.blob(name).upload_from_string(name.encode())
        found: list[object] = []
        for options in ({}, {"delimiter": "/"}, {"prefix": "b/", "delimiter": "/"}, {"prefix": "b"}):
            for page_size in (1, 2, 3, 1000):
                listing = bucket.list_blobs(page_size=page_size, **options)
                found.append(([(one.name, one.size) for one in listing], sorted(listing.prefixes)))
        return found

    emulators, own = at_both(lambda: seen(storage.Client(project=None).bucket(BUCKET)))
    assert emulators == own
    assert own[4] == ([("a", 1), ("bb", 2)], ["b/", "g/"])


def test_ranges_are_alike_at_both() -> None:
    size = len(LARGE)

    def seen(bucket: Any) -> list[object]:
        blob = bucket.blob("large")
        blob.upload_from_string(LARGE)

        def read(start: int | None, end: int | None) -> object:
            return outcome(lambda: blob.download_as_bytes(start=start, end=end))

        ranges = [(None, None), (0, 9), (5, None), (size - 3, size + 5)]
        missing = bucket.blob("none")
        return [*(read(*one) for one in ranges), outcome(missing.download_as_bytes), outcome(missing.delete)]

    emulators, own = at_both(lambda: seen(storage.Client(project=None).bucket(BUCKET)))
    assert emulators == own
    assert own[:4] == [LARGE, LARGE[:10], LARGE[5:], LARGE[-3:]]
