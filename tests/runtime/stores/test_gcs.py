"""The Cloud Storage store: its requests, its memory, and what it says where a bucket cannot be used."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import threading
import traceback
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import google.auth
import pytest
from google.auth import credentials
from google.auth.exceptions import RefreshError
from google.cloud import storage

from helpers.gcs_bucket import Reply, Request, Stored, encoded_crc
from helpers.gcs_faults import Answer, refuses
from helpers.gcs_server import BUCKET, PREFIX, GcsServer, running
from holdfast.runtime.errors import (
    FormatInvalid,
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import open_store
from holdfast.runtime.stores.base import Chunk, Content
from holdfast.runtime.stores.gcs import LONGEST_NAME, GcsStore
from holdfast.runtime.stores.gcs_upload import CHUNK_BYTES

SECRET = "ya29.c0secret_" + "x1Y2-" * 20


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with running() as server:
        yield server


@pytest.fixture
def store(server: GcsServer) -> GcsStore:
    return GcsStore(BUCKET, PREFIX)


def pattern(size: int) -> bytes:
    """Bytes that differ wherever a mistake in offsets would show."""
    return array("I", range(-(-size // 4))).tobytes()[:size]


def stored(server: GcsServer, name: str) -> bytes:
    data = server.bucket.objects[f"{PREFIX}/{name}"].data
    assert data is not None
    return data


@pytest.mark.parametrize(
    ("size", "puts"),
    [(0, 0), (1, 0), (CHUNK_BYTES, 0), (CHUNK_BYTES + 1, 2), (2 * CHUNK_BYTES, 2), (2 * CHUNK_BYTES + 7, 3)],
)
def test_content_is_sent_in_one_request_or_in_chunks(
    server: GcsServer, store: GcsStore, size: int, puts: int
) -> None:
    data = pattern(size)
    pieces = [data[begin : begin + 999_983] for begin in range(0, size, 999_983)]
    store.create("objects/a", Content.of(b"", *pieces, b""))
    assert stored(server, "objects/a") == data
    assert store.read("objects/a", size) == data
    assert (server.count("POST"), server.count("PUT")) == (1, puts)


def test_every_write_has_a_precondition_and_no_access_list(server: GcsServer, store: GcsStore) -> None:
    store.check()
    store.create("a", Content.of(b"abc"))
    store.create("b", Content.of(bytes(CHUNK_BYTES + 1)))
    posts = [one for one in server.requests if one.method == "POST"]
    assert len(posts) == 3
    for post in posts:
        assert post.query["ifGenerationMatch"] == "0"
        assert "acl" not in post.target.lower()
        assert b'"acl"' not in post.body


@pytest.mark.parametrize("size", [1000, CHUNK_BYTES + 1000])
def test_content_that_fails_at_its_very_end_is_not_stored(
    server: GcsServer, store: GcsStore, size: int
) -> None:
    failure = ConnectionError("of the content, not of the store")

    def chunks() -> Iterator[Chunk]:
        yield bytes(size)
        raise failure

    with pytest.raises(ConnectionError) as caught:
        store.create("a", Content(size, chunks))
    assert caught.value is failure
    assert server.bucket.created == []


@pytest.mark.parametrize("size", [1000, CHUNK_BYTES + 1000])
@pytest.mark.parametrize("wrong_by", [-1, 1])
def test_content_of_another_size_than_it_says_is_not_stored(
    server: GcsServer, store: GcsStore, size: int, wrong_by: int
) -> None:
    with pytest.raises(ValueError, match=str(size)):
        store.create("a", Content(size, lambda: iter([bytes(size + wrong_by)])))
    assert server.bucket.created == []


def test_large_content_is_never_in_memory_as_a_whole(server: GcsServer, store: GcsStore) -> None:
    server.bucket.keeping = False
    chunks = 16
    piece = memoryview(bytearray(CHUNK_BYTES // 8))
    content = Content(chunks * CHUNK_BYTES, lambda: (piece for _ in range(8 * chunks)))
    tracemalloc.start()
    try:
        store.create("a", content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.size("a") == chunks * CHUNK_BYTES
    assert peak < 6 * CHUNK_BYTES  # of which the server has up to three


@pytest.mark.parametrize("size", [1000, CHUNK_BYTES + 1000])
def test_of_many_clients_that_create_one_name_exactly_one_succeeds(server: GcsServer, size: int) -> None:
    begun = threading.Barrier(8)

    def contend(number: int) -> bool:
        first = True

        def chunks() -> Iterator[Chunk]:
            nonlocal first
            if first:  # all have begun before any ends
                first = False
                begun.wait()
            yield bytes([number]) * size

        try:
            GcsStore(BUCKET, PREFIX).create("claims/one", Content(size, chunks))
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(contend, range(8)))
    assert won.count(True) == 1
    assert stored(server, "claims/one") == bytes([won.index(True)]) * size
    assert server.bucket.created == [f"{PREFIX}/claims/one"]


def test_ranges_are_read_by_many_threads_at_once(
    server: GcsServer, store: GcsStore, caplog: pytest.LogCaptureFixture
) -> None:
    data = pattern(4 << 20)
    store.create("a", Content.of(data))
    together = threading.Barrier(16)

    def read(number: int) -> bytes:
        together.wait()
        return b"".join(
            store.read("a", 1000, offset) for offset in range(number * 1000, number * 1000 + 8000, 1000)
        )

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(16) as pool:
        assert list(pool.map(read, range(16))) == [data[n * 1000 : n * 1000 + 8000] for n in range(16)]
    assert caplog.messages == []  # such as that a connection was thrown away, since the pool is full


def test_only_the_range_is_asked_for(server: GcsServer, store: GcsStore) -> None:
    store.create("a", Content.of(pattern(100_000)))
    assert store.read("a", 10, 5000) == pattern(100_000)[5000:5010]
    assert server.requests[-1].headers["range"] == "bytes=5000-5009"


def test_nothing_is_unpacked_on_the_way(server: GcsServer, store: GcsStore) -> None:
    packed = gzip.compress(pattern(100_000))
    store.create("a", Content.of(packed))

    def says_it_is_packed(request: Request, answer: Answer) -> Reply:
        reply = answer(request)
        return replace(reply, headers={**reply.headers, "Content-Encoding": "gzip"})

    server.plan(says_it_is_packed, "GET", "alt=media")
    assert store.read("a", len(packed)) == packed


def test_nothing_is_downloaded_where_no_bytes_are_wanted(server: GcsServer, store: GcsStore) -> None:
    store.create("a", Content.of(b"abc"))
    assert store.read("a", 0) == b""
    with pytest.raises(ObjectNotFound):
        store.read("b", 0)
    assert server.count("GET", "alt=media") == 0


def test_long_listings_are_read_in_pages_of_names_and_sizes(server: GcsServer, store: GcsStore) -> None:
    def put(name: str) -> None:
        server.bucket.objects[f"{PREFIX}/{name}"] = Stored(b"x", 1, encoded_crc(0), 1, "text/plain")

    names = {f"a-{number:05}" for number in range(2300)}
    folders = {f"f-{number:03}" for number in range(300)}
    for name in names:
        put(f"objects/{name}")
    for folder in folders:
        put(f"objects/{folder}/x")
        put(f"objects/{folder}/y")
    put("objects/")  # as the console marks a folder
    put("objects//x")
    put("objectsx")
    listing = store.list("objects")
    assert listing.sizes == dict.fromkeys(names, 1)
    assert listing.folders == folders
    pages = [one for one in server.requests if one.method == "GET"]
    assert len(pages) == 3
    assert {one.query["fields"] for one in pages} == {"items(name,size),prefixes,nextPageToken"}
    assert [one.query.get("maxResults") for one in pages] == ["1000"] * 3


def test_whether_it_holds_a_content_is_told_by_size_and_checksum(server: GcsServer, store: GcsStore) -> None:
    def is_not_read() -> Iterator[Chunk]:
        raise AssertionError

    store.create("a", Content.of(b"abc"))
    assert store.holds("a", Content.of(b"ab", b"c"))
    assert not store.holds("a", Content.of(b"abd"))
    assert not store.holds("a", Content(4, is_not_read))
    assert not store.holds("b", Content(3, is_not_read))
    assert server.count("GET", "alt=media") == 0


def test_a_store_may_be_a_whole_bucket(server: GcsServer) -> None:
    store = open_store(f"gs://{BUCKET}")
    store.check()
    store.under("run").create("objects/a", Content.of(b"abc"))
    assert list(server.bucket.objects) == ["run/objects/a"]
    assert store.list("run").folders == {"objects"}
    assert store.under("run").url == f"gs://{BUCKET}/run"


def test_names_are_as_long_as_the_bucket_takes_them(server: GcsServer, store: GcsStore) -> None:
    longest = "x" * (LONGEST_NAME - len(PREFIX.encode()) - 1)
    store.create(longest, Content.of(b"abc"))
    assert store.read(longest, 3) == b"abc"
    for name in (longest + "x", "a\nb", "a\rb", "\ud800"):
        with pytest.raises(FormatInvalid):
            store.create(name, Content.of(b"abc"))


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b=c&d", "a%2Fb", "a+b", "ü", "~a", "[x]*", ";a", "a@b:c"])
def test_any_letters_stay_as_they_are(server: GcsServer, store: GcsStore, name: str) -> None:
    store.create(f"{name}/{name}", Content.of(b"abc"))
    assert store.read(f"{name}/{name}", 3) == b"abc"
    assert store.sizes(name) == {name: 3}
    assert list(server.bucket.objects) == [f"{PREFIX}/{name}/{name}"]


def test_one_client_is_made_for_all_threads_and_folders(
    server: GcsServer, store: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, second = [], threading.Event()

    class Counted(storage.Client):
        def __init__(self, **how: object) -> None:
            made.append(1)
            if len(made) > 1:
                second.set()
            second.wait(0.5)  # nobody else comes, unless there is a fault
            super().__init__(**how)

    monkeypatch.setattr(storage, "Client", Counted)
    assert made == []  # nothing before it is used
    together = threading.Barrier(8)

    def use(number: int) -> None:
        together.wait()
        store.under(f"run{number}").list("objects")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert made == [1]


def test_connections_are_closed_with_the_store(server: GcsServer) -> None:
    store = GcsStore(BUCKET, "")
    store.create("a", Content.of(b"abc"))
    store.read("a", 1)
    del store
    gc.collect()  # an open connection would be a ResourceWarning, and that an error


# What is said where a bucket cannot be used.


def unusable(store: GcsStore) -> str:
    with pytest.raises(StoreUnusable) as caught:
        store.check()
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    return str(caught.value)


def test_checking_leaves_nothing_and_does_not_ask_about_the_bucket(server: GcsServer, store: GcsStore) -> None:
    store.check()
    assert server.bucket.objects == {}
    assert server.count("GET", f"/b/{BUCKET}[?]") == 0


def test_a_missing_bucket_is_said_with_the_command_that_makes_it(server: GcsServer) -> None:
    store = GcsStore("holdfast-none", "x")
    message = unusable(store)
    assert "There is no bucket holdfast-none [gs://holdfast-none/x]" in message
    assert "gcloud storage buckets create gs://holdfast-none --location=" in message
    large = Content.of(bytes(CHUNK_BYTES + 1))
    operations: list[Callable[[], object]] = [
        lambda: store.create("a", Content.of(b"abc")),
        lambda: store.create("a", large),
        lambda: store.list("objects"),
        lambda: store.size("a"),
        lambda: store.read("a", 1),
        lambda: store.delete("a"),
    ]
    for operation in operations:  # it is not an empty store
        with pytest.raises(StoreRefused, match="no bucket"):
            operation()


@pytest.mark.parametrize("act", ["create", "get", "list", "delete"])
def test_a_missing_permission_is_named_with_the_command_that_gives_it(
    server: GcsServer, store: GcsStore, act: str
) -> None:
    server.bucket.denied.add(f"storage.objects.{act}")
    message = unusable(store)
    assert f"storage.objects.{act}" in message
    assert f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} " in message
    assert "--member=user:trainer@example.com --role=roles/storage.objectAdmin" in message
    assert bool(server.bucket.objects) == (act == "delete")


def test_a_bucket_that_forbids_to_delete_is_refused(server: GcsServer, store: GcsStore) -> None:
    server.bucket.retention = True
    assert "retention policy" in unusable(store)
    store.create("a", Content.of(b"abc"))
    with pytest.raises(StoreRefused, match="--clear-retention-period"):
        store.delete("a")


def test_who_pays_for_a_bucket_is_asked_for(
    server: GcsServer, store: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.bucket.payer_wanted = True
    assert "export HOLDFAST_GCS_USER_PROJECT=" in unusable(store)
    monkeypatch.setenv("HOLDFAST_GCS_USER_PROJECT", "our-project")
    GcsStore(BUCKET, PREFIX).check()
    assert server.requests[-1].query["userProject"] == "our-project"


@pytest.mark.parametrize("size", [1000, CHUNK_BYTES + 1000])
def test_the_environments_project_pays_only_where_one_must(
    server: GcsServer, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "their-project")
    store = GcsStore(BUCKET, PREFIX)
    store.create("a", Content.of(pattern(size)))
    assert not any("userProject" in one.query for one in server.requests)
    server.bucket.payer_wanted = True
    store.create("b", Content.of(pattern(size)))
    assert stored(server, "b") == pattern(size)
    assert store.read("b", 3) == pattern(3)
    assert server.requests[-1].query["userProject"] == "their-project"


def test_of_many_threads_none_is_refused_while_another_finds_out_who_pays(
    server: GcsServer, store: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("a", Content.of(b"abc"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "their-project")
    together = threading.Barrier(4)

    def refuses_all_at_once(request: Request, answer: Answer) -> Reply:
        together.wait()
        return answer(request)

    server.bucket.payer_wanted = True
    server.plan(refuses_all_at_once, "GET", times=4)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: store.read("a", 3), range(4))) == [b"abc"] * 4


def test_a_payer_that_is_refused_is_not_asked_again(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_GCS_USER_PROJECT", "our-project")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "their-project")
    text = "Bucket is requester pays bucket but no user project provided."
    server.plan(refuses(400, "required", text), "POST", times=9)
    store = GcsStore(BUCKET, PREFIX)
    assert "HOLDFAST_GCS_USER_PROJECT" in unusable(store)
    assert server.count("POST") == 1
    store.list("objects")
    assert {one.query["userProject"] for one in server.requests} == {"our-project"}


@pytest.mark.parametrize(
    ("status", "reason", "text", "said"),
    [
        (401, "authError", "Invalid Credentials", "gcloud auth application-default login"),
        (403, "insufficientPermissions", "Request had insufficient authentication scopes.", "gcloud auth"),
        (
            403,
            "accountDisabled",
            "The billing account for the owning project is disabled in state absent",
            "gcloud billing",
        ),
        (
            403,
            "forbidden",
            "a@b.iam.gserviceaccount.com does not have serviceusage.services.use access to the project.",
            "--member=serviceAccount:a@b.iam.gserviceaccount.com --role=roles/serviceusage.",
        ),
        (403, "forbidden", "Forbidden", "--member=user:EMAIL --role=roles/storage.objectAdmin"),
        (400, "invalid", "Cannot use ACL with uniform bucket-level access", "uniform bucket-level access"),
        (400, "invalid", "", "refuses with 400"),
    ],
)
def test_a_refusal_is_said_with_what_to_do(
    server: GcsServer, store: GcsStore, status: int, reason: str, text: str, said: str
) -> None:
    server.plan(refuses(status, reason, f"{text} {SECRET}"), "POST")
    assert said in unusable(store)
    assert server.count("POST") == 1
    assert server.bucket.created == []


def test_in_colab_the_hint_is_a_line_for_a_cell(
    server: GcsServer, store: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    server.plan(refuses(401), "POST")
    assert "from google.colab import auth; auth.authenticate_user()" in unusable(store)


def test_an_outage_is_no_verdict_on_the_store(server: GcsServer, store: GcsStore) -> None:
    server.plan(refuses(503), "POST")
    with pytest.raises(StoreUnavailable):
        store.check()


# Credentials.


class Tokens(credentials.Credentials):
    """Credentials whose tokens are only good if nothing is said against them."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.failure = failure

    def refresh(self, request: object) -> None:
        if self.failure is not None:
            raise self.failure
        self.token = SECRET


@pytest.fixture
def signed_in(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], GcsStore]:
    """A store whose client signs in, which it does not at an emulator."""
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", server.url)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")

    def make(failure: Exception | None) -> GcsStore:
        monkeypatch.setattr(google.auth, "default", lambda **_: (Tokens(failure), None))
        return GcsStore(BUCKET, PREFIX)

    return make


def test_tokens_are_sent_and_never_said(
    server: GcsServer, signed_in: Callable[[Exception | None], GcsStore]
) -> None:
    store = signed_in(None)
    server.plan(refuses(400, "invalid", f"Bad header: Bearer {SECRET}"), "POST", "multipart")
    assert "Bad header" in unusable(store)
    assert {one.headers["authorization"] for one in server.requests} == {f"Bearer {SECRET}"}


def test_the_address_of_an_upload_is_never_said(server: GcsServer, store: GcsStore) -> None:
    server.plan(refuses(400, "invalid", "At upload_id"), "PUT")
    with pytest.raises(StoreRefused) as caught:
        store.create("a", Content.of(bytes(CHUNK_BYTES + 1)))
    (upload_id,) = server.bucket.sessions
    assert upload_id not in "".join(traceback.format_exception(caught.value))
    assert json.dumps(upload_id) not in str(caught.value)


def test_credentials_that_ended_are_refused(signed_in: Callable[[Exception | None], GcsStore]) -> None:
    store = signed_in(RefreshError(f"invalid_grant {SECRET}", {"error": SECRET}))  # type: ignore[no-untyped-call]
    message = unusable(store)
    assert "no longer valid" in message
    assert "gcloud auth application-default login" in message


def test_a_metadata_server_that_does_not_answer_may_later(
    signed_in: Callable[[Exception | None], GcsStore],
) -> None:
    store = signed_in(RefreshError("Timeout", retryable=True))  # type: ignore[no-untyped-call]
    with pytest.raises(StoreUnavailable):
        store.check()


def test_missing_credentials_are_said_with_the_command_that_gets_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))  # where gcloud keeps its own
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    message = unusable(GcsStore(BUCKET, ""))
    assert "no credentials" in message
    assert "gcloud auth application-default login" in message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in message
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{tmp_path}/none.json")
    assert "that GOOGLE_APPLICATION_CREDENTIALS names" in unusable(GcsStore(BUCKET, ""))
