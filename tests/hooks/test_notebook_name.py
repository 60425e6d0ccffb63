"""Which notebook this is, and which run is its own: never another notebook's, and also after it was renamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.colab_server import ColabServer, colab_server, session
from helpers.plain_kernels import Kernels
from holdfast.hooks import notebook_name
from holdfast.hooks.notebook_name import Notebook, choose_run, run_name, this_notebook
from holdfast.runtime import report
from holdfast.runtime.names import check_run_name

MNIST = Notebook("mnist", "1AbC")
names = st.text(max_size=150)


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any notebook yet."""
    monkeypatch.setattr(notebook_name, "_known", Notebook())
    monkeypatch.setattr(notebook_name, "_asked_at", None)
    monkeypatch.setattr(notebook_name, "_runs", {})
    for name in ("COLAB_NOTEBOOK_ID", "COLAB_JUPYTER_IP", "COLAB_RELEASE_TAG", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ColabServer]:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-of-the-tests")
    with colab_server() as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


# --- names of runs --------------------------------------------------------------------------


@given(name=names, number=st.text(min_size=1, max_size=60))
def test_any_name_gives_a_run_that_every_store_can_have(name: str, number: str) -> None:
    run = Notebook(name, number).run
    assert check_run_name(run) == run
    assert len(run.encode()) <= 255


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("Copy of mnist", "Copy of mnist"),
        ("zwölf – größer", "zwölf _ größer"),
        ("(draft) a/b", "draft) a_b"),
        ("e\u0301tude", "étude"),
        ("…", "_"),
        (" .", "notebook"),
    ],
)
def test_a_name_stays_as_like_itself_as_may_be(name: str, run: str) -> None:
    assert run_name(name) == run


@given(name=names, runs=st.sets(names), number=st.text(min_size=1))
def test_a_run_without_this_notebooks_mark_is_never_taken_for_its_own(
    name: str, runs: set[str], number: str
) -> None:
    notebook = Notebook(name, number)
    assert choose_run(notebook, runs)[0].endswith(notebook.mark)


def test_a_notebook_has_its_own_run_beside_another_of_that_name() -> None:
    other = Notebook("mnist", "2DeF")
    assert choose_run(MNIST, [other.run]) == (MNIST.run, "")
    assert MNIST.run != other.run


def test_a_renamed_notebook_finds_its_run_and_says_so() -> None:
    renamed = Notebook("digits", MNIST.id)
    run, remark = choose_run(renamed, [MNIST.run, "digits"])
    assert run == MNIST.run
    assert "began under the name" in remark
    assert choose_run(renamed, [MNIST.run, renamed.run]) == (renamed.run, "")


def test_a_run_without_a_mark_is_left_alone_and_named() -> None:
    run, remark = choose_run(MNIST, ["mnist", "notebook", "other"])
    assert run == MNIST.run
    assert "'mnist' and 'notebook'" in remark and "'other'" not in remark
    assert choose_run(MNIST, ["mnist", MNIST.run]) == (MNIST.run, "")


def test_where_the_id_is_not_known_the_runs_that_may_be_meant_are_named() -> None:
    run, remark = choose_run(Notebook("mnist"), [MNIST.run, "mnist-2", "other-0011aabb"])
    assert run == "mnist"
    assert MNIST.run in remark and "other" in remark and "other-0011aabb" not in remark
    run, remark = choose_run(Notebook(), [])
    assert run == "notebook"
    assert "name could not be told" in remark


# --- asking Colab ---------------------------------------------------------------------------


def test_colab_tells_name_and_id(server: ColabServer) -> None:
    server.answer(session("Untitled0", "1AbC"))
    assert this_notebook() == Notebook("Untitled0", "1AbC")
    assert this_notebook() == Notebook("Untitled0", "1AbC")
    assert server.asked == ["/api/sessions"]


def test_an_address_as_id_is_read_whole(server: ColabServer) -> None:
    address = "https://github.com/a/b/blob/main/c.ipynb?x=1&y=2"
    server.answer(session("c", address))
    assert this_notebook() == Notebook("c", address)


def test_of_several_sessions_the_one_with_this_notebooks_id_counts(
    server: ColabServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAB_NOTEBOOK_ID", "2")
    server.answer(session("one", "1"), session("two", "2"))
    assert this_notebook() == Notebook("two", "2")


def test_of_several_unknown_sessions_none_is_taken(server: ColabServer) -> None:
    server.answer(session("one", "1"), session("two", "2"))
    assert this_notebook() == Notebook()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"[]", b"[1]", b'[{"path": 1, "name": 2, "kernel": 3}]', b"\xff", b" " * (2 << 20)],
)
def test_an_answer_that_is_none_leaves_what_the_environment_says(
    server: ColabServer, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setenv("COLAB_NOTEBOOK_ID", "1AbC")
    server.body = body
    said: list[str] = []
    report.speak_through(said.append)
    try:
        assert this_notebook() == Notebook("", "1AbC")
    finally:
        report.speak_through(None)
    assert said == []


def test_a_server_that_does_not_answer_holds_nothing_up_and_is_asked_once_for_a_start(
    server: ColabServer,
) -> None:
    server.body = None
    assert this_notebook() == Notebook()  # and not for ever
    assert this_notebook() == Notebook()
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_asked_again_later(
    server: ColabServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer(session("Untitled0", "1AbC"))
    with monkeypatch.context() as patch:
        patch.setenv("KMP_TARGET_PORT", "1")
        assert this_notebook() == Notebook()
    assert this_notebook() == Notebook()
    monkeypatch.setattr(notebook_name, "AGAIN_SECONDS", 0.0)
    assert this_notebook() == Notebook("Untitled0", "1AbC")


def test_no_proxy_is_asked(server: ColabServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answer(session("Untitled0", "1AbC"))
    assert this_notebook().id == "1AbC"


def test_jupyter_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/work/mnist v1.2.ipynb")
    assert this_notebook() == Notebook("mnist v1.2")


# --- in a real kernel -----------------------------------------------------------------------


START = "import colab_bootstrap; colab_bootstrap.start(); print('run', colab_bootstrap.start().status().run)"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
def test_notebooks_of_one_name_have_a_run_each_and_keep_it_when_renamed(tmp_path: Path) -> None:
    with colab_server() as server:
        kernels = Kernels(tmp_path, {**server.environment, "COLAB_RELEASE_TAG": "tests"})
        server.answer(session("mnist", "1"))
        first = Notebook("mnist", "1").run
        (printed,) = kernels.run(START)
        assert "first run" in printed and printed.endswith(f"run {first}\n")

        server.answer(session("mnist", "2"))
        second = Notebook("mnist", "2").run
        (printed,) = kernels.run(START)
        assert "first run" in printed and printed.endswith(f"run {second}\n")

        server.answer(session("digits", "1"))
        printed, again = kernels.run(START, START)
        assert "kernel restart" in printed and printed.endswith(f"run {first}\n")
        assert f"began under the name {first!r}" in printed
        assert again.endswith(f"run {first}\n") and "first run" not in again

        server.body = b"[]"
        (printed,) = kernels.run(START)
        assert "name could not be told" in printed and printed.endswith("run notebook\n")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
def test_outside_colab_the_files_name_is_the_runs(tmp_path: Path) -> None:
    kernels = Kernels(tmp_path, {"JPY_SESSION_NAME": "/home/me/digits.ipynb"})
    (printed,) = kernels.run(START)
    assert printed.endswith("run digits\n") and "could not be told" not in printed
    del kernels.environment["JPY_SESSION_NAME"]
    _, printed = kernels.run("__vsc_ipynb_file__ = '/home/me/code.ipynb'", START)
    assert printed.endswith("run code\n") and "could not be told" not in printed
