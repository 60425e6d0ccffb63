"""Claims: however many sessions claim at once, each has its own incarnation."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.faults import ActsAfterCreate, WithoutExclusivity
from helpers.processes import environment
from helpers.strategies import damaged, json_values, meddled
from holdfast.runtime.claims import Before, Claim, claim_from_bytes, highest, make_claim, read_highest
from holdfast.runtime.errors import FormatInvalid
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.stores.base import Content
from holdfast.runtime.stores.folder import FolderStore

PROCESS = ProcessId(123, 1_700_000_000.25)
PLAIN = Claim(7, "aaaaaaaa", "boot/machine", PROCESS, 1_700_000_001.5)
NAME = PLAIN.name.removeprefix("claims/")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "run")


def claim_as(store: FolderStore, session: str) -> Claim:
    return make_claim(store, session, "machine", PROCESS, 1.0)


def test_each_claim_is_one_higher_than_the_last(store: FolderStore) -> None:
    assert highest(store) == (0, "")
    assert [claim_as(store, f"{number:08x}").incarnation for number in range(1, 5)] == [1, 2, 3, 4]
    assert highest(store) == (4, "00000004")
    assert read_highest(store) == Claim(4, "00000004", "machine", PROCESS, 1.0)


def test_what_a_claimant_found_is_read_again(store: FolderStore) -> None:
    before = Before("aaaaaaaa", "killed")
    made = make_claim(store, "bbbbbbbb", "machine", PROCESS, 1.0, before=before, by="tool")
    assert (made.before, made.by) == (before, "tool")
    assert read_highest(store) == made


@pytest.mark.parametrize("before", [None, 7, [], ["aaaaaaaa"], ["../../x", "ended"], ["aaaaaaaa", "eaten"], {}])
def test_a_claim_counts_whatever_it_says_of_the_session_before(before: object) -> None:
    value = PLAIN.to_dict() | {"before": before, "by": before}
    assert claim_from_bytes(to_json(value), name=NAME) == PLAIN


@pytest.mark.parametrize("kind", [FolderStore, WithoutExclusivity])
def test_threads_that_claim_at_once_get_distinct_incarnations(tmp_path: Path, kind: type[FolderStore]) -> None:
    store, start = kind(tmp_path / "run"), threading.Barrier(6)

    def contend(session: str) -> int:
        start.wait()
        return claim_as(store, session).incarnation

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(contend, [f"{number:08x}" for number in range(6)]))
    assert len(set(found)) == 6


def test_processes_that_claim_at_once_get_distinct_incarnations(tmp_path: Path) -> None:
    go = tmp_path / "go"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "helpers.claimant", str(tmp_path / "run"), str(go), f"{number:08x}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    found = [int(text) for text in printed]
    assert len(set(found)) == 8
    assert highest(FolderStore(tmp_path / "run"))[0] == max(found)


@pytest.mark.parametrize("rival", ["00000000", "ffffffff"])
def test_whoever_sees_a_rival_of_its_own_incarnation_moves_on(tmp_path: Path, rival: str) -> None:
    folder = tmp_path / "run"
    theirs = replace(PLAIN, incarnation=1, session=rival)

    def rival_claims() -> None:
        WithoutExclusivity(folder).create(theirs.name, Content.of(to_json(theirs.to_dict())))

    claim = claim_as(ActsAfterCreate(folder, "claims/", rival_claims), "aaaaaaaa")
    assert claim.incarnation == 2
    assert highest(FolderStore(folder)) == (2, "aaaaaaaa")


def test_a_rival_that_claims_a_higher_one_meanwhile_is_outdone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    theirs = replace(PLAIN, incarnation=5, session="bbbbbbbb")

    def rival_claims() -> None:
        FolderStore(folder).create(theirs.name, Content.of(to_json(theirs.to_dict())))

    assert claim_as(ActsAfterCreate(folder, "claims/", rival_claims), "aaaaaaaa").incarnation == 6


def test_a_damaged_claim_still_counts_by_its_name_and_the_one_before_is_read(store: FolderStore) -> None:
    first = claim_as(store, "aaaaaaaa")
    store.create("claims/00000009-bbbbbbbb.json", Content.of(b"{"))
    store.create("claims/readme.txt", Content.of(b"not a claim"))
    assert highest(store) == (9, "bbbbbbbb")
    assert read_highest(store) == first
    assert claim_as(store, "cccccccc").incarnation == 10


def test_a_name_in_digits_of_another_script_is_no_claim(store: FolderStore) -> None:
    store.create("claims/٠٠٠٠٠٠٠٩-aaaaaaaa.json", Content.of(b"{}"))
    assert highest(store) == (0, "")


@given(
    st.builds(
        Claim,
        st.integers(1, 99_999_999),
        st.text("0123456789abcdef", min_size=8, max_size=8),
        st.text(max_size=50),
        st.builds(ProcessId, st.integers(0, 2**31), st.floats(0, 1e11)),
        st.floats(0, 1e11),
    )
)
def test_a_claim_round_trips(claim: Claim) -> None:
    data = to_json(claim.to_dict())
    assert claim_from_bytes(data, name=claim.name.removeprefix("claims/")) == claim


@given(st.data())
def test_damaged_bytes_give_only_format_errors(data: st.DataObject) -> None:
    reading_gives_only_format_errors(data.draw(damaged(to_json(PLAIN.to_dict()))))


@given(json_values | st.deferred(lambda: meddled(PLAIN.to_dict())))
def test_json_that_is_no_claim_gives_only_format_errors(value: Any) -> None:
    reading_gives_only_format_errors(json.dumps(value).encode())


@pytest.mark.parametrize("key", ["started", "claimed_at"])
def test_a_time_too_large_for_a_float_is_a_format_error(key: str) -> None:
    reading_gives_only_format_errors(json.dumps(PLAIN.to_dict() | {key: 10**400}).encode())


def reading_gives_only_format_errors(data: bytes) -> None:
    try:
        assert claim_from_bytes(data, name=NAME).name == PLAIN.name
    except FormatInvalid:
        pass


def test_a_claim_under_another_name_is_refused() -> None:
    with pytest.raises(FormatInvalid, match="calls itself"):
        claim_from_bytes(to_json(PLAIN.to_dict()), name="00000008-aaaaaaaa.json")
