"""Cloud Storage's faults: an upload is stored once and rightly, or an error is raised and nothing is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from google.cloud.storage.retry import DEFAULT_RETRY
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.gcs_faults import (
    Fault,
    Stalls,
    breaks_the_stream,
    damages_the_body,
    forgets_the_session,
    ignores_the_range,
    keeps_only,
    lies_about_the_checksum,
    loses_the_reply,
    refuses,
    resets_before_storing,
    truncates_the_reply,
)
from helpers.gcs_server import BUCKET, PREFIX, GcsServer, running
from holdfast.runtime.errors import (
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
)
from holdfast.runtime.stores import gcs, gcs_upload, retrying
from holdfast.runtime.stores.base import Content
from holdfast.runtime.stores.gcs import SESSIONS, GcsStore
from holdfast.runtime.stores.gcs_upload import CHUNK_BYTES
from holdfast.runtime.stores.retrying import Retrying

SMALL = b"holdfast " * 100
LARGE = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + SMALL
"""Three chunks."""

SEND = ("POST", "uploadType=multipart")
BEGIN = ("POST", "uploadType=resumable")
CHUNK = ("PUT", "upload_id=")
LOOK = ("GET", "/storage/v1/b/[^/]+/o/[^?]+[?](?!alt=media)")
MEDIA = ("GET", "alt=media")

STATUSES = [408, 429, 500, 502, 503, 504]
GIVE_UP_SECONDS = 600.0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits before it tries again."""
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retrying, "LONGEST_SECONDS", 0.0)
    eager = DEFAULT_RETRY.with_delay(initial=0.001, maximum=0.001)
    monkeypatch.setattr(gcs_upload, "IN_SESSION", eager.with_deadline(GIVE_UP_SECONDS))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall is noticed soon, and ends a session."""
    timeout = (GIVE_UP_SECONDS, 1.0)
    monkeypatch.setattr(gcs_upload, "TIMEOUT_SECONDS", timeout)
    monkeypatch.setattr(gcs_upload, "IN_SESSION", None)
    monkeypatch.setitem(gcs.ONCE, "timeout", timeout)


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with running() as server:
        yield server


@pytest.fixture
def failures() -> list[StoreUnavailable]:
    return []


@pytest.fixture
def bare(server: GcsServer) -> GcsStore:
    return GcsStore(BUCKET, PREFIX)


@pytest.fixture
def store(bare: GcsStore, failures: list[StoreUnavailable]) -> Retrying:
    return Retrying(bare, GIVE_UP_SECONDS, failures.append)


def times_stored(server: GcsServer, data: bytes, name: str = "a") -> int:
    """How often the object was made, which must hold these bytes and no others ever."""
    assert list(server.bucket.objects) == [f"{PREFIX}/{name}"]
    assert server.bucket.objects[f"{PREFIX}/{name}"].data == data
    return server.bucket.created.count(f"{PREFIX}/{name}")


# Before anything is stored.


@pytest.mark.parametrize("fault", [*map(refuses, [*STATUSES, 409]), resets_before_storing])
@pytest.mark.parametrize(("data", "request_"), [(SMALL, SEND), (LARGE, BEGIN)])
def test_what_was_not_stored_is_stored_by_another_try(
    server: GcsServer, store: Retrying, data: bytes, request_: tuple[str, str], fault: Fault
) -> None:
    server.plan(fault, *request_, times=2)
    store.create("a", Content.of(data))
    assert times_stored(server, data) == 1
    assert server.count(*request_) == 3


@pytest.mark.parametrize("fault", [*map(refuses, STATUSES), resets_before_storing, loses_the_reply])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_chunk_that_fails_is_sent_again_in_its_session(
    server: GcsServer, bare: GcsStore, after: int, fault: Fault
) -> None:
    server.plan(fault, *CHUNK, after=after)
    bare.create("a", Content.of(LARGE))
    assert times_stored(server, LARGE) == 1
    assert (server.count(*BEGIN), server.count(*CHUNK)) == (1, 4)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("data", "request_"), [(SMALL, SEND), (LARGE, BEGIN), (LARGE, CHUNK)])
def test_a_refusal_is_final(
    server: GcsServer, store: Retrying, data: bytes, request_: tuple[str, str], status: int
) -> None:
    server.plan(refuses(status, "forbidden"), *request_, times=9)
    with pytest.raises(StoreRefused):
        store.create("a", Content.of(data))
    assert server.count(*request_) == 1
    assert server.bucket.created == []


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_lost_session_is_begun_anew(server: GcsServer, bare: GcsStore, after: int, status: int) -> None:
    server.plan(forgets_the_session(server.bucket, status), *CHUNK, after=after)
    bare.create("a", Content.of(LARGE))
    assert times_stored(server, LARGE) == 1
    assert server.count(*BEGIN) == 2


def test_sessions_that_are_lost_again_and_again_are_given_up(server: GcsServer, bare: GcsStore) -> None:
    server.plan(forgets_the_session(server.bucket), *CHUNK, times=99)
    with pytest.raises(StoreUnavailable, match="session"):
        bare.create("a", Content.of(LARGE))
    assert server.count(*BEGIN) == SESSIONS
    assert server.bucket.created == []


@pytest.mark.parametrize("count", [0, 1000, CHUNK_BYTES // 2])
@pytest.mark.parametrize("after", [0, 1])
def test_a_chunk_that_arrives_in_part_is_no_hole(
    server: GcsServer, store: Retrying, after: int, count: int
) -> None:
    server.plan(keeps_only(count), *CHUNK, after=after)
    store.create("a", Content.of(LARGE))
    assert times_stored(server, LARGE) == 1


@pytest.mark.parametrize(("data", "request_"), [(SMALL, SEND), (LARGE, CHUNK)])
def test_bytes_that_change_on_the_way_are_sent_again(
    server: GcsServer,
    store: Retrying,
    failures: list[StoreUnavailable],
    data: bytes,
    request_: tuple[str, str],
) -> None:
    server.plan(damages_the_body, *request_)
    store.create("a", Content.of(data))
    # The client's major version 2 sends no checksum with the last chunk, and deletes what came out wrong.
    checked = data is SMALL or any("x-goog-hash" in one.headers for one in server.requests)
    assert times_stored(server, data) == (1 if checked else 2)
    assert len(failures) == 1


def test_an_outage_that_outlasts_a_session_is_said_as_what_it_is(
    server: GcsServer, bare: GcsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_upload, "IN_SESSION", DEFAULT_RETRY.with_deadline(0.0))
    server.plan(refuses(503), *CHUNK, after=1, times=99)
    with pytest.raises(StoreUnavailable, match="answers 503"):
        bare.create("a", Content.of(LARGE))
    assert server.bucket.created == []


def test_an_outage_is_said_after_one_try(server: GcsServer, bare: GcsStore) -> None:
    for method in ("GET", "POST", "DELETE"):
        server.plan(refuses(503), method, times=99)
    for act in (
        lambda: bare.create("a", Content.of(SMALL)),
        lambda: bare.size("a"),
        lambda: bare.list("a"),
        lambda: bare.read("a", 1),
        lambda: bare.delete("a"),
    ):
        before = len(server.requests)
        with pytest.raises(StoreUnavailable, match="503"):
            act()
        assert len(server.requests) - before <= 2  # an upload looks whether it came through


def test_a_server_that_is_gone_is_unavailable(bare: GcsStore, server: GcsServer) -> None:
    bare.create("a", Content.of(SMALL))
    server.__exit__()
    with pytest.raises(StoreUnavailable):
        bare.size("a")
    with pytest.raises(StoreUnavailable):
        bare.create("b", Content.of(SMALL))


# After it is stored.


@pytest.mark.parametrize("fault", [loses_the_reply, truncates_the_reply, lies_about_the_checksum])
def test_a_small_content_that_came_through_is_not_sent_again(
    server: GcsServer, bare: GcsStore, fault: Fault
) -> None:
    server.plan(fault, *SEND)
    bare.create("a", Content.of(SMALL))
    assert times_stored(server, SMALL) == 1
    assert (server.count(*SEND), server.count(*LOOK)) == (1, 1)


@pytest.mark.parametrize("fault", [loses_the_reply, truncates_the_reply])
def test_a_large_content_that_came_through_is_not_sent_again(
    server: GcsServer, bare: GcsStore, fault: Fault
) -> None:
    server.plan(fault, *CHUNK, after=2)
    bare.create("a", Content.of(LARGE))
    assert times_stored(server, LARGE) == 1
    assert server.count(*BEGIN) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_lost_after_its_content_came_through_is_not_begun_anew(
    server: GcsServer, bare: GcsStore, status: int
) -> None:
    server.plan(loses_the_reply, *CHUNK, after=2)
    server.plan(forgets_the_session(server.bucket, status), *CHUNK)
    server.plan(forgets_the_session(server.bucket, status), *CHUNK)
    bare.create("a", Content.of(LARGE))
    assert times_stored(server, LARGE) == 1


def test_a_reply_with_a_wrong_checksum_ends_in_the_right_bytes(server: GcsServer, store: Retrying) -> None:
    server.plan(lies_about_the_checksum, *CHUNK, after=2)
    store.create("a", Content.of(LARGE))
    times_stored(server, LARGE)  # the client may have deleted it once


@pytest.mark.parametrize(("data", "request_"), [(SMALL, SEND), (LARGE, CHUNK)])
def test_an_upload_whose_outcome_cannot_be_seen_is_unavailable_and_then_settled(
    server: GcsServer,
    store: Retrying,
    failures: list[StoreUnavailable],
    data: bytes,
    request_: tuple[str, str],
) -> None:
    server.plan(truncates_the_reply, *request_, after=0 if data is SMALL else 2)
    server.plan(refuses(503), *LOOK)
    store.create("a", Content.of(data))
    assert times_stored(server, data) == 1
    assert len(failures) == 1


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_name_that_is_taken_is_told_from_an_own_success(
    bare: GcsStore, server: GcsServer, data: bytes
) -> None:
    bare.create("a", Content.of(data))
    bare.create("a", Content.of(data))  # the very same
    for other in (data[:-1] + b"?", data + b"?", b""):
        with pytest.raises(ObjectExists):
            bare.create("a", Content.of(other))
    assert times_stored(server, data) == 1


@pytest.mark.parametrize("fault", [truncates_the_reply, loses_the_reply, refuses(503), resets_before_storing])
def test_what_somebody_else_stored_is_no_success(server: GcsServer, store: Retrying, fault: Fault) -> None:
    GcsStore(BUCKET, PREFIX).create("a", Content.of(SMALL.upper()))
    server.plan(fault, *SEND)
    with pytest.raises(ObjectExists):
        store.create("a", Content.of(SMALL))
    assert times_stored(server, SMALL.upper()) == 1


# Stalls, and commits that come late.


@pytest.mark.parametrize(("data", "request_", "after"), [(SMALL, SEND, 0), (LARGE, CHUNK, 2)])
def test_a_late_commit_after_another_try_is_turned_away(
    server: GcsServer, store: Retrying, impatient: None, data: bytes, request_: tuple[str, str], after: int
) -> None:
    stall = Stalls(commits=True)
    server.plan(stall, *request_, after=after)
    store.create("a", Content.of(data))
    stall.released.set()
    assert stall.done.wait(GIVE_UP_SECONDS)
    assert stall.status == 412
    assert times_stored(server, data) == 1


@pytest.mark.parametrize(("data", "request_", "after"), [(SMALL, SEND, 0), (LARGE, CHUNK, 2)])
def test_a_late_commit_before_another_try_is_taken_for_it(
    server: GcsServer, bare: GcsStore, impatient: None, data: bytes, request_: tuple[str, str], after: int
) -> None:
    stall = Stalls(commits=True)
    server.plan(stall, *request_, after=after)

    def failed(_: StoreUnavailable) -> None:
        if stall.reached.is_set():
            stall.released.set()
            assert stall.done.wait(GIVE_UP_SECONDS)

    Retrying(bare, GIVE_UP_SECONDS, failed).create("a", Content.of(data))
    assert stall.status == 200
    assert times_stored(server, data) == 1


def test_a_late_commit_does_not_overwrite_what_another_client_wrote(
    server: GcsServer, bare: GcsStore, impatient: None
) -> None:
    stall = Stalls(commits=True)
    server.plan(stall, *SEND)
    with pytest.raises(StoreUnavailable):
        bare.create("a", Content.of(SMALL))
    Retrying(GcsStore(BUCKET, PREFIX), GIVE_UP_SECONDS).create("a", Content.of(SMALL.upper()))
    stall.released.set()
    assert stall.done.wait(GIVE_UP_SECONDS)
    assert stall.status == 412
    assert times_stored(server, SMALL.upper()) == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.size("a"),
        lambda store: store.list("b"),
        lambda store: store.read("a", 1),
        lambda store: store.delete("b"),
    ],
)
def test_a_stall_is_noticed_everywhere(
    server: GcsServer, bare: GcsStore, store: Retrying, impatient: None, act: Callable[[GcsStore], object]
) -> None:
    store.create("a", Content.of(SMALL))
    for method in ("GET", "DELETE"):
        server.plan(Stalls(commits=False), method)
    with pytest.raises(StoreUnavailable):
        act(bare)


# Reading, listing, deleting.


def test_a_stream_that_breaks_is_read_on_from_where_it_broke(server: GcsServer, bare: GcsStore) -> None:
    bare.create("a", Content.of(LARGE))
    server.plan(breaks_the_stream(1 << 20), *MEDIA, times=3)
    assert bare.read("a", len(LARGE) - 5, 5) == LARGE[5:]
    begins = [
        int(one.headers["range"][6:].split("-")[0]) for one in server.requests if "alt=media" in one.target
    ]
    assert len(begins) == 4
    steps = [later - earlier for earlier, later in zip(begins, begins[1:], strict=False)]
    assert all(0 < step <= 1 << 20 for step in steps)


@pytest.mark.parametrize("fault", [breaks_the_stream(0), refuses(503), resets_before_storing])
def test_a_read_that_does_not_get_on_is_tried_again_from_outside(
    server: GcsServer, bare: GcsStore, store: Retrying, failures: list[StoreUnavailable], fault: Fault
) -> None:
    bare.create("a", Content.of(SMALL))
    server.plan(fault, *MEDIA, times=2)
    with pytest.raises(StoreUnavailable):
        bare.read("a", 5)
    assert store.read("a", 5) == SMALL[:5]
    assert len(failures) == 1


def test_more_bytes_than_asked_for_are_not_taken(server: GcsServer, bare: GcsStore) -> None:
    bare.create("a", Content.of(SMALL))
    server.plan(ignores_the_range, *MEDIA)
    with pytest.raises(StoreUnavailable, match="more than was asked"):
        bare.read("a", 5, 1)
    assert bare.read("a", 5, 1) == SMALL[1:6]


def test_an_object_that_is_deleted_while_it_is_read_is_missing(server: GcsServer, bare: GcsStore) -> None:
    bare.create("a", Content.of(LARGE))

    def deleted_in_the_midst(request: object, answer: Callable[[object], object]) -> object:
        reply = breaks_the_stream(1 << 20)(request, answer)  # type: ignore[arg-type]
        server.bucket.objects.clear()
        return reply

    server.plan(deleted_in_the_midst, *MEDIA)  # type: ignore[arg-type]
    with pytest.raises(ObjectNotFound):
        bare.read("a", len(LARGE))


def test_a_page_of_a_listing_that_fails_is_no_short_listing(server: GcsServer, store: Retrying) -> None:
    store.create("objects/a", Content.of(SMALL))
    one = server.bucket.objects[f"{PREFIX}/objects/a"]
    names = [f"{number:05}" for number in range(2500)]
    server.bucket.objects.update({f"{PREFIX}/objects/{name}": one for name in names})
    server.plan(refuses(503), "GET", "pageToken=")
    server.plan(resets_before_storing, "GET", "pageToken=", after=1)
    server.plan(truncates_the_reply, "GET", "pageToken=", after=2)
    assert store.sizes("objects") == dict.fromkeys([*names, "a"], len(SMALL))


@pytest.mark.parametrize("fault", [refuses(503), refuses(429), resets_before_storing, loses_the_reply])
def test_a_delete_is_done_again_until_it_is_known(server: GcsServer, store: Retrying, fault: Fault) -> None:
    store.create("a", Content.of(SMALL))
    server.plan(fault, "DELETE")
    store.delete("a")
    assert server.bucket.objects == {}


def test_a_probe_that_is_not_deleted_at_once_is_not_left(server: GcsServer, bare: GcsStore) -> None:
    server.plan(refuses(429, "rateLimitExceeded"), "DELETE")  # a name may be changed once in a second
    bare.check()
    assert server.bucket.objects == {}


@pytest.mark.parametrize("fault", [refuses(503), loses_the_reply])
def test_a_check_that_breaks_off_leaves_no_probe(server: GcsServer, bare: GcsStore, fault: Fault) -> None:
    server.plan(fault, *SEND)
    server.plan(refuses(503), "GET", times=2)
    with pytest.raises(StoreUnavailable):
        bare.check()
    assert server.bucket.objects == {}


# All together.

FAULTS = {
    **{f"refuses {status}": refuses(status) for status in STATUSES},
    **{
        one.__name__: one
        for one in (
            resets_before_storing,
            loses_the_reply,
            truncates_the_reply,
            damages_the_body,
        )
    },
    "keeps_only": keeps_only(CHUNK_BYTES // 2),
}
plans = st.lists(
    st.tuples(st.sampled_from(sorted(FAULTS)), st.sampled_from([SEND, BEGIN, CHUNK, LOOK]), st.integers(0, 3)),
    max_size=5,
)


@settings(max_examples=40)
@given(plans=plans, large=st.booleans())
def test_whatever_fails_some_times_an_upload_ends_in_the_right_bytes(
    plans: list[tuple[str, tuple[str, str], int]], large: bool
) -> None:
    data = LARGE if large else SMALL
    with running() as server:
        store = Retrying(GcsStore(BUCKET, PREFIX), GIVE_UP_SECONDS)
        for fault, request, after in plans:
            server.plan(FAULTS[fault], *request, after=after)
        store.create("a", Content.of(data))
        assert times_stored(server, data) == 1
        assert store.read("a", len(data)) == data


def test_whatever_fails_of_many_that_race_exactly_one_wins(server: GcsServer) -> None:
    server.plan(loses_the_reply, *SEND, times=3)
    server.plan(truncates_the_reply, *SEND, times=3)
    server.plan(refuses(503), *LOOK, times=3)
    start, won = threading.Barrier(8), []

    def contend(number: int) -> None:
        store = Retrying(GcsStore(BUCKET, PREFIX), GIVE_UP_SECONDS)
        start.wait()
        try:
            store.create("a", Content.of(bytes([number]) * 1000))
        except ObjectExists:
            return
        won.append(number)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert times_stored(server, bytes(won) * 1000) == 1
