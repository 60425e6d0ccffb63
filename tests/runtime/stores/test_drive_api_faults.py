"""The Drive store, fault by fault: what it says, and what is in Drive afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.auth import exceptions

from helpers.drive_faults import (
    Fault,
    answers,
    answers_later,
    cuts_json,
    flips_a_bit,
    forgets_upload,
    ignores_range,
    keeps_only,
    loses_reply,
    resets,
    resets_after,
    sends_half,
    stalls,
    truncates_reply,
)
from helpers.drive_server import GRAIN_BYTES, DriveServer, drive_server
from helpers.drive_wire import refusal
from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from holdfast.runtime.stores import drive_client, retrying
from holdfast.runtime.stores.base import Content, Listing
from holdfast.runtime.stores.drive_api import DriveApiStore
from holdfast.runtime.stores.drive_rest import DriveRest
from holdfast.runtime.stores.drive_upload import PIECE_BYTES
from holdfast.runtime.stores.retrying import Retrying

DEADLINE = 600.0
BIG = bytes(range(251)) * (2 * PIECE_BYTES // 251 + 1000)
"""Three pieces of an upload."""

PASSING: dict[str, Fault] = {
    "429": answers(429),
    "500": answers(500),
    "502": answers(502),
    "503": answers(503, "backendError"),
    "408": answers(408),
    "userRateLimitExceeded": answers(403, "userRateLimitExceeded"),
    "rateLimitExceeded": answers(403, "rateLimitExceeded"),
    "RATE_LIMIT_EXCEEDED": answers(403, "RATE_LIMIT_EXCEEDED"),
    "reset": resets,
    "reset after": resets_after,
    "truncated": truncates_reply,
    "JSON cut off": cuts_json,
}
"""What is tried again."""

SOME = [PASSING[name] for name in ("503", "userRateLimitExceeded", "reset", "truncated", "JSON cut off")]

LASTING: dict[str, tuple[Fault, str]] = {
    "401": (answers(401, "authError"), r"not accepted.*gcloud auth application-default login"),
    "403": (answers(403), "Drive refuses: 403"),
    "insufficientPermissions": (answers(403, "insufficientPermissions"), r"cover Drive.*application-default"),
    "scopes": (answers(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), r"cover Drive.*application-default login"),
    "accessNotConfigured": (answers(403, "accessNotConfigured"), "gcloud services enable drive.googleapis"),
    "SERVICE_DISABLED": (answers(403, "SERVICE_DISABLED"), "gcloud services enable drive.googleapis.com"),
    "storageQuotaExceeded": (answers(403, "storageQuotaExceeded"), r"Drive is full.*trash"),
    "teamDriveFileLimitExceeded": (answers(403, "teamDriveFileLimitExceeded"), r"as many files as it may"),
    "dailyLimitExceeded": (answers(403, "dailyLimitExceeded"), r"day's requests.*tomorrow"),
    "insufficientFilePermissions": (answers(403, "insufficientFilePermissions"), r"No permission"),
    "domainPolicy": (answers(403, "domainPolicy"), "administrator"),
    "400": (answers(400, "invalid"), "400 invalid"),
}
"""What waiting does not help against, and what is said."""

CREATE = ("files.generateIds", "files.list", "files.create", "upload.start", "upload.piece")
"""The requests of a first create."""


@pytest.fixture
def drive() -> Iterator[DriveServer]:
    with drive_server() as server:
        yield server


@pytest.fixture
def store(drive: DriveServer) -> DriveApiStore:
    return DriveApiStore("team/holdfast")


@pytest.fixture
def failures() -> list[StoreUnavailable]:
    return []


@pytest.fixture
def patient(
    store: DriveApiStore, failures: list[StoreUnavailable], monkeypatch: pytest.MonkeyPatch
) -> Retrying:
    """The store as it is used: what may pass is tried again, here without waits."""
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 0.0)
    return Retrying(store, DEADLINE, failures.append)


def contents(drive: DriveServer, name: str) -> list[bytes]:
    return [file.content for file in drive.named(name)]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("operation", [*CREATE, "files.get"])
def test_a_create_that_meets_what_passes_is_stored_once(
    drive: DriveServer, patient: Retrying, operation: str, fault: Fault
) -> None:
    drive.fail(operation, fault)
    patient.create("objects/a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]
    assert [len(drive.named(name)) for name in ("team", "holdfast", "objects")] == [1, 1, 1]
    assert patient.read("objects/a", 3) == b"abc"


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("operation", ["files.generateIds", "files.list"])
def test_what_passes_is_said_to_pass(
    drive: DriveServer, store: DriveApiStore, operation: str, fault: Fault
) -> None:
    store.check()
    store._rest.client._ids.clear()
    drive.fail(operation, fault)
    with pytest.raises(StoreUnavailable, match="drive-api:team/holdfast/a"):
        store.create("a", Content.of(b"abc"))
    assert contents(drive, "a") == []


@pytest.mark.parametrize(
    ("operation", "fault", "says"),
    [
        (operation, *LASTING[name])
        for operation in CREATE
        for name in LASTING
        if (operation, name) != ("upload.piece", "400")  # which says that an upload is out of step
    ],
)
def test_a_create_that_meets_what_lasts_is_refused_at_once(
    drive: DriveServer,
    patient: Retrying,
    failures: list[StoreUnavailable],
    operation: str,
    fault: Fault,
    says: str,
) -> None:
    drive.fail(operation, fault)
    with pytest.raises(StoreRefused, match=says):
        patient.create("objects/a", Content.of(b"abc"))
    assert failures == []
    assert contents(drive, "a") == []
    patient.create("objects/a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]


@pytest.mark.parametrize(("fault", "says"), LASTING.values(), ids=LASTING)
def test_a_check_says_what_to_do(drive: DriveServer, store: DriveApiStore, fault: Fault, says: str) -> None:
    drive.fail("files.get", fault)
    with pytest.raises(StoreUnusable, match=says):
        store.check()
    store.check()


def test_in_colab_a_check_says_what_to_type_there(
    drive: DriveServer, store: DriveApiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    drive.fail("files.get", answers(401, "authError"))
    with pytest.raises(StoreUnusable, match=r"Run: from google.colab import auth; auth.authenticate_user\(\)"):
        store.check()


@pytest.mark.parametrize("fault", [loses_reply, resets_after, truncates_reply, cuts_json, answers_later(503)])
@pytest.mark.parametrize("size", [0, 3, len(BIG)])
def test_a_lost_answer_to_the_last_piece_loses_nothing(
    drive: DriveServer, store: DriveApiStore, fault: Fault, size: int
) -> None:
    drive.fail("upload.piece", *[None] * (size // PIECE_BYTES), fault)
    store.create("a", Content.of(BIG[:size]))
    assert contents(drive, "a") == [BIG[:size]]
    assert drive.count("upload.start") == 1


@pytest.mark.parametrize(
    "fault", [resets, resets_after, loses_reply, answers(500), answers(503), truncates_reply]
)
@pytest.mark.parametrize("piece", [0, 1])
def test_an_upload_goes_on_from_where_it_broke(
    drive: DriveServer, store: DriveApiStore, fault: Fault, piece: int
) -> None:
    drive.fail("upload.piece", *[None] * piece, fault)
    store.create("a", Content.of(BIG))
    assert contents(drive, "a") == [BIG]
    assert drive.count("upload.start") == 1


def test_an_upload_that_does_not_get_on_is_given_back_to_the_caller(
    drive: DriveServer, store: DriveApiStore
) -> None:
    drive.fail("upload.piece", None, *[answers(503)] * 20)
    drive.fail("upload.query", *[answers(503)] * 20)
    with pytest.raises(StoreUnavailable, match="503"):
        store.create("a", Content.of(BIG))
    assert drive.count("upload.piece") + drive.count("upload.query") == 2 + drive_client.RESUMES
    assert contents(drive, "a") == []


@pytest.mark.parametrize("status", [403, 429])
def test_an_upload_that_is_too_fast_is_not_hurried(
    drive: DriveServer, store: DriveApiStore, status: int
) -> None:
    drive.fail("upload.piece", None, answers(status, "userRateLimitExceeded"))
    with pytest.raises(StoreUnavailable, match=str(status)):
        store.create("a", Content.of(BIG))
    assert drive.count("upload.piece") == 2


@pytest.mark.parametrize("status", [400, 404, 410])
@pytest.mark.parametrize("piece", [0, 1, 2])
def test_a_forgotten_upload_begins_anew(
    drive: DriveServer, patient: Retrying, failures: list[StoreUnavailable], status: int, piece: int
) -> None:
    drive.fail("upload.piece", *[None] * piece, forgets_upload(status))
    patient.create("a", Content.of(BIG))
    assert contents(drive, "a") == [BIG]
    assert drive.count("upload.start") == 2
    assert [error.what for error in failures] == ["Drive has forgotten the upload"]


@pytest.mark.parametrize("kept", [0, GRAIN_BYTES, 3 * GRAIN_BYTES])
def test_what_drive_has_not_kept_is_sent_again(drive: DriveServer, store: DriveApiStore, kept: int) -> None:
    drive.fail("upload.piece", None, keeps_only(kept), keeps_only(kept))
    store.create("a", Content(len(BIG), lambda: (BIG[at : at + 99_999] for at in range(0, len(BIG), 99_999))))
    assert contents(drive, "a") == [BIG]


def test_what_drive_has_dropped_from_before_is_read_again(drive: DriveServer, store: DriveApiStore) -> None:
    def drops(exchange: Any) -> None:
        for session in exchange.server.sessions.values():
            session.count = GRAIN_BYTES
            del session.received[GRAIN_BYTES:]
        exchange.send(exchange.server.receive(exchange.request, keep=0))

    drive.fail("upload.piece", None, answers(503))
    drive.fail("upload.query", drops)
    reads: list[int] = []

    def chunks() -> Iterator[bytes]:
        reads.append(1)
        for at in range(0, len(BIG), 1 << 20):
            yield BIG[at : at + (1 << 20)]

    store.create("a", Content(len(BIG), chunks))
    assert contents(drive, "a") == [BIG]
    assert len(reads) == 2


def test_a_stalled_piece_is_sent_again(
    drive: DriveServer, store: DriveApiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_client, "TIMEOUT_SECONDS", 0.3)
    released = threading.Event()
    drive.fail("upload.piece", None, stalls(released, then_performs=True))
    try:
        store.create("a", Content.of(BIG))
    finally:
        released.set()
    assert contents(drive, "a") == [BIG]


@pytest.mark.parametrize("operation", ["files.list", "upload.start", "media"])
def test_a_stall_is_no_answer(
    drive: DriveServer, store: DriveApiStore, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("there", Content.of(b"abc"))
    monkeypatch.setattr(drive_client, "TIMEOUT_SECONDS", 0.3)
    drive_client._close_all(store._rest.client._idle)  # those of the longer time
    released = threading.Event()
    drive.fail(operation, stalls(released))
    try:
        with pytest.raises(StoreUnavailable, match="did not answer"):
            store.read("there", 3) if operation == "media" else store.create("a", Content.of(b"abc"))
    finally:
        released.set()
    assert contents(drive, "a") == []


def test_a_refused_port_is_no_answer(drive: DriveServer, store: DriveApiStore) -> None:
    drive.close()
    for act in operations(store):
        with pytest.raises(StoreUnavailable, match="did not answer"):
            act()


def test_other_bytes_in_drive_are_deleted(
    drive: DriveServer, patient: Retrying, failures: list[StoreUnavailable]
) -> None:
    drive.fail("upload.piece", flips_a_bit)
    patient.create("a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]
    assert ["other bytes" in error.what for error in failures] == [True]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_other_bytes_that_cannot_be_deleted_yet_are_so_at_the_next_try(
    drive: DriveServer, patient: Retrying, fault: Fault
) -> None:
    drive.fail("upload.piece", flips_a_bit)
    drive.fail("files.delete", fault)
    patient.create("a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]


def test_other_bytes_behind_a_lost_answer_are_deleted(drive: DriveServer, patient: Retrying) -> None:
    def flips_and_loses(exchange: Any) -> None:
        exchange.server.flipping = True
        exchange.perform()
        exchange.server.flipping = False
        exchange.send(refusal(500))

    drive.fail("upload.piece", flips_and_loses)
    drive.fail("upload.query", *[answers(500)] * 4)
    patient.create("a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]


def test_an_upload_of_unknown_end_is_not_made_twice(
    drive: DriveServer, store: DriveApiStore, patient: Retrying
) -> None:
    store.check()
    drive.requests.clear()
    drive.hiding = True  # so that only its id finds it
    drive.fail("upload.piece", resets_after)
    drive.fail("upload.query", *[resets] * 4)
    drive.fail("files.get", resets)
    with pytest.raises(StoreUnavailable):
        store.create("a", Content.of(b"abc"))
    assert contents(drive, "a") == [b"abc"]
    patient.create("a", Content.of(b"abc"))
    assert drive.count("upload.start") == 1
    drive.reveal()
    assert contents(drive, "a") == [b"abc"]


def test_an_upload_that_comes_through_late_is_not_made_twice(
    drive: DriveServer, store: DriveApiStore, patient: Retrying, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.check()
    late: list[Callable[[], object]] = []

    def holds_back(exchange: Any) -> None:
        late.append(exchange.perform)
        exchange.hang_up(reset=True)

    drive.hiding = True
    drive.fail("upload.piece", holds_back)
    drive.fail("upload.query", *[resets] * 4)
    with pytest.raises(StoreUnavailable):
        store.create("a", Content.of(b"abc"))
    late.pop()()
    patient.create("a", Content.of(b"abc"))
    drive.reveal()
    assert contents(drive, "a") == [b"abc"]


def test_another_content_after_an_upload_of_unknown_end_takes_its_place(
    drive: DriveServer, store: DriveApiStore
) -> None:
    drive.fail("upload.piece", resets_after)
    drive.fail("upload.query", *[resets] * 4)
    drive.fail("files.get", None, resets)  # the first is My Drive's
    with pytest.raises(StoreUnavailable):
        store.create("a", Content.of(b"first"))
    store.create("a", Content.of(b"second"))
    assert contents(drive, "a") == [b"second"]


def test_what_is_not_listed_yet_is_not_made_twice(drive: DriveServer, store: DriveApiStore) -> None:
    drive.hiding = True
    store.create("run/objects/a", Content.of(b"abc"))
    with pytest.raises(ObjectExists):
        store.create("run/objects/a", Content.of(b"again"))
    store.create("run/objects/b", Content.of(b"defg"))
    assert [len(drive.named(name)) for name in ("team", "holdfast", "run", "objects")] == [1, 1, 1, 1]
    assert store.read("run/objects/a", 3) == b"abc"
    store.delete("run/objects/a")
    assert contents(drive, "a") == []
    drive.reveal()
    assert store.list("run/objects").sizes == {"b": 4}


def test_the_quota_is_kept_to(drive: DriveServer, patient: Retrying, failures: list[StoreUnavailable]) -> None:
    drive.limit = 1000
    patient.create("a", Content.of(bytes(600)))
    with pytest.raises(StoreRefused, match=r"Drive is full.*empty Drive's trash"):
        patient.create("b", Content.of(bytes(600)))
    assert failures == []
    patient.delete("a")
    patient.create("b", Content.of(bytes(600)))


@pytest.mark.parametrize("loses", ["deleted", "trashed"])
def test_a_folder_that_is_lost_is_made_anew(
    drive: DriveServer, store: DriveApiStore, patient: Retrying, loses: str
) -> None:
    store.create("run/objects/a", Content.of(b"abc"))
    run = drive.named("run")[0].id
    if loses == "deleted":
        drive.perform(type(drive.requests[0])("files.delete", "DELETE", f"/drive/v3/files/{run}", {}, {}, b""))
    else:
        drive.trash(run)
    patient.create("run/objects/b", Content.of(b"defg"))
    assert patient.list("run/objects").sizes == {"b": 4}
    assert patient.read("run/objects/b", 4) == b"defg"
    with pytest.raises(ObjectNotFound):
        patient.size("run/objects/a")


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_read_that_meets_what_passes_gives_the_right_bytes(
    drive: DriveServer, store: DriveApiStore, patient: Retrying, fault: Fault, failures: list[StoreUnavailable]
) -> None:
    store.create("a", Content.of(BIG))
    drive.fail("media", fault)
    assert patient.read("a", 1000, 500) == BIG[500:1500]
    assert len(failures) == 1


def test_half_a_range_is_no_answer(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("a", Content.of(BIG))
    drive.fail("media", sends_half)
    with pytest.raises(StoreUnavailable, match="cut off"):
        store.read("a", 1000, 500)


def test_a_whole_file_in_the_place_of_a_range_will_do(drive: DriveServer, store: DriveApiStore) -> None:
    store.create("a", Content.of(b"abcdefg"))
    drive.fail("media", ignores_range, ignores_range)
    assert store.read("a", 3, 2) == b"cde"
    with pytest.raises(FormatInvalid):
        store.read("a", 3, 5)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_other_operations_that_meet_what_passes_come_right(
    drive: DriveServer, store: DriveApiStore, patient: Retrying, fault: Fault
) -> None:
    store.create("objects/a", Content.of(b"abc"))
    drive.fail("files.list", fault, None, fault)
    assert patient.list("objects") == Listing({"a": 3})
    drive.fail("files.get", fault)
    assert patient.size("objects/a") == 3
    drive.fail("about.get", fault)
    assert patient.quota() is not None
    drive.fail("files.delete", fault)
    patient.delete("objects/a")
    assert contents(drive, "a") == []


def operations(store: DriveApiStore) -> list[Callable[[], object]]:
    return [
        lambda: store.create("objects/new", Content.of(b"abc")),
        lambda: store.read("objects/a", 3),
        lambda: store.size("objects/a"),
        lambda: store.list("objects"),
        lambda: store.delete("objects/a"),
        lambda: store.confirm("objects/a"),
        store.quota,
        store.check,
    ]


class Credentials:
    """Of the kind that google-auth hands out; each refresh fails in the same way."""

    universe_domain = "googleapis.com"
    token = "ya29.secret-token"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.refreshed = error, 0

    def before_request(self, request: object, method: str, url: str, headers: dict[str, str]) -> None:
        headers["authorization"] = f"Bearer {self.token}"

    def refresh(self, request: object) -> None:
        self.refreshed += 1
        if self.error is not None:
            raise self.error


TRANSPORT: Any = exceptions.TransportError
REFRESH: Any = exceptions.RefreshError
DEFAULT: Any = exceptions.DefaultCredentialsError


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (REFRESH("invalid_grant: secret"), StoreRefused, "not valid any more"),
        (REFRESH(TRANSPORT("secret")), StoreUnavailable, "did not answer"),
        (REFRESH("secret", retryable=True), StoreUnavailable, "did not answer"),
        (TRANSPORT("secret"), StoreUnavailable, "did not answer"),
    ],
)
def test_a_token_that_cannot_be_renewed_is_said(
    drive: DriveServer,
    store: DriveApiStore,
    error: Exception,
    kind: type[HoldfastError],
    says: str,
) -> None:
    store._rest.client._credentials = Credentials(error)
    for act in operations(store):
        drive.fail(".*", answers(401, "authError"))
        with pytest.raises((kind, StoreUnusable), match=says) as caught:
            act()
        assert "secret" not in str(caught.value)


def test_a_token_is_renewed_in_passing(drive: DriveServer, store: DriveApiStore) -> None:
    credentials = Credentials()
    store._rest.client._credentials = credentials
    for operation in CREATE:
        drive.fail(operation, answers(401, "authError"))
    store.create("a", Content.of(BIG))
    assert contents(drive, "a") == [BIG]
    assert credentials.refreshed == len(CREATE)
    assert drive.requests[0].headers["authorization"] == f"Bearer {credentials.token}"


def test_no_credentials_at_all_are_said_with_what_to_type(
    drive: DriveServer, store: DriveApiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> object:
        raise DEFAULT("secret")

    monkeypatch.delenv(drive_client.ENDPOINT)
    monkeypatch.setattr(drive_client, "default_credentials", none)
    monkeypatch.setattr("google.auth.default", lambda **scopes: none())
    assert not DriveRest.available()
    store = DriveApiStore("team/holdfast")
    with pytest.raises(StoreUnusable, match=r"No credentials.*gcloud auth application-default login") as caught:
        store.check()
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreRefused, match="No credentials"):
        store.list("objects")


@pytest.mark.parametrize("fault", [*SOME, LASTING["401"][0], LASTING["scopes"][0], LASTING["400"][0]])
@pytest.mark.parametrize("operation", [*CREATE, "upload.query", "files.get", "media", "files.delete"])
def test_no_message_holds_an_address_or_a_token(
    drive: DriveServer, store: DriveApiStore, operation: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    store._rest.client._credentials = Credentials()
    drive.fail("upload.piece" if operation == "upload.query" else "-", answers(503))
    drive.fail(operation, *[fault] * 4)
    said = []
    for act in operations(store):
        try:
            act()
        except HoldfastError as error:
            said.append(str(error))
            assert error.__cause__ is None
            assert error.__suppress_context__
    assert said or operation in ("upload.query", "upload.piece")
    everything = "\n".join(said) + caplog.text
    for secret in ("secret", "Bearer", "upload_id", "127.0.0.1", *drive.sessions):
        assert secret not in everything


def test_a_folder_whose_making_got_no_answer_is_not_made_twice(
    drive: DriveServer, store: DriveApiStore
) -> None:
    drive.hiding = True
    drive.fail("files.create", loses_reply)
    store.create("a", Content.of(b"abc"))
    assert [len(drive.named(name)) for name in ("team", "holdfast")] == [1, 1]


def test_a_folder_that_goes_while_it_is_looked_at_is_looked_at_again(
    drive: DriveServer, store: DriveApiStore, patient: Retrying, failures: list[StoreUnavailable]
) -> None:
    store.create("objects/a", Content.of(b"abc"))
    drive.fail("files.list", None, answers(404, "notFound"))
    assert patient.list("objects") == Listing({"a": 3})
    drive.fail("files.list", answers(404, "notFound"))
    patient.create("objects/b", Content.of(b""))
    drive.fail("files.list", answers(404, "notFound"))
    patient.delete("objects/b")
    assert [error.what for error in failures] == [
        "The folder changes",
        *["The folder was deleted meanwhile"] * 2,
    ]
    drive.fail("files.list", answers(404, "notFound"))
    assert DriveRest().lookup("team/holdfast/objects/b") is None
