"""Store URLs: one spelling for each place, and our errors for what names none."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.runtime.errors import HoldfastError, StoreUnusable
from holdfast.runtime.stores import ALLOWED, Content, normalise, open_store


@given(
    st.text(max_size=30)
    | st.sampled_from(["file://", "//[", "~", "~nobody/x", "gs:", "s3://"]).flatmap(
        lambda head: st.text(max_size=10).map(lambda tail: head + tail)
    )
)
@example("//[x")
@example("file://[x")
@example("~no-such-user/x")
@example("\ud800")
def test_any_text_is_a_store_or_unusable(url: str) -> None:
    try:
        spelling = normalise(url)
    except HoldfastError:
        return
    assert spelling.startswith("file:///")
    assert normalise(spelling) == spelling


@pytest.mark.parametrize("name", ["plain", "with space", "a#b", "a?b", "a%20b", "ü", "C:x", "a;b", "a&b"])
def test_a_folder_is_the_same_store_by_path_and_by_url(tmp_path: Path, name: str) -> None:
    by_path = open_store(str(tmp_path / name))
    by_url = open_store(f"file://{quote(str(tmp_path / name))}")
    by_path.create("a", Content.of(b"x"))
    assert by_url.read("a", 1) == b"x"
    assert by_path.url == by_url.url == normalise(by_path.url)
    assert (tmp_path / name / "a").read_bytes() == b"x"


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = normalise("./holdfast")
    monkeypatch.chdir("/")
    assert normalise(url) == (tmp_path / "holdfast").as_uri()


@pytest.mark.parametrize(
    "url", ["", "  ", "s3://bucket/x", "https://example.org/x", "file://host/x", "ftp://x"]
)
def test_what_names_no_store_is_refused_with_what_to_write_instead(url: str) -> None:
    with pytest.raises(StoreUnusable) as caught:
        normalise(url)
    assert ALLOWED in str(caught.value) or "file:///" in str(caught.value)
