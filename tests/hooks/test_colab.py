"""What Colab's user is asked: once, on the main thread, and only for what the store needs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import google.auth
import pytest
from google.auth import compute_engine, exceptions

from helpers.fake_colab import FOLDER, Colab, colab_environment, fake_colab
from helpers.plain_kernels import Kernels
from holdfast.hooks import colab as hook
from holdfast.runtime.errors import StoreUnusable
from holdfast.runtime.stores import credentials


@pytest.fixture(autouse=True)
def nothing_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_granted", set())


@pytest.fixture
def colab(tmp_path: Path) -> Iterator[Colab]:
    with fake_colab(tmp_path) as made:
        yield made


def in_a_thread(store_url: str) -> list[BaseException]:
    raised: list[BaseException] = []

    def act() -> None:
        try:
            hook.prepare(store_url)
        except BaseException as error:  # told to the test
            raised.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    return raised


def test_drive_is_mounted_once(colab: Colab) -> None:
    hook.prepare("drive:runs")
    (colab.mount / "MyDrive" / "file").write_bytes(b"x")
    assert (colab.drive / "file").read_bytes() == b"x"
    hook.prepare("drive:runs")
    assert colab.asked == ["mount"]


def test_a_mounted_drive_is_left_alone(colab: Colab) -> None:
    (colab.mount / "MyDrive").mkdir(parents=True)
    hook.prepare("drive:runs")
    assert in_a_thread("drive:runs") == []
    assert colab.asked == []


@pytest.mark.parametrize("url", ["drive:runs", "gs://bucket/runs", "drive-api:runs"])
def test_a_thread_never_asks(colab: Colab, url: str) -> None:
    raised = in_a_thread(url)
    assert colab.asked == []
    assert [str(error) for error in raised] == (
        [
            f"Google Drive is not mounted [{colab.mount}/MyDrive]. "
            f"Run: from google.colab import drive; drive.mount('{colab.mount}')"
        ]
        if url == "drive:runs"
        else []
    )


def test_a_refused_mount_is_said_and_may_be_asked_for_again(
    colab: Colab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COLAB_REFUSES", "mount")
    with pytest.raises(StoreUnusable, match=r"could not be mounted: mount failed.*drive.mount\('.*'\)$"):
        hook.prepare("drive:runs")
    monkeypatch.delenv("FAKE_COLAB_REFUSES")
    hook.prepare("drive:runs")
    assert colab.asked == ["mount", "mount"]


def test_a_mount_that_does_not_show_up_is_said(colab: Colab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_COLAB_REFUSES", "mount mount-quietly")
    with pytest.raises(StoreUnusable, match="was mounted, and is not there"):
        hook.prepare("drive:runs")


def test_who_unmounts_it_himself_is_told_and_not_asked_again(colab: Colab) -> None:
    hook.prepare("drive:runs")
    (colab.mount / "MyDrive").unlink()
    with pytest.raises(StoreUnusable, match=r"drive.mount\("):
        hook.prepare("drive:runs")
    assert colab.asked == ["mount"]


def test_a_dead_mount_is_mounted_again(colab: Colab, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(False, True), (True, False)])
    monkeypatch.setattr(hook, "_look", lambda drive: next(looks))
    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        hook._colab("drive"), "mount", lambda place, force_remount: seen.append((place, force_remount))
    )
    hook.prepare("drive:runs")
    assert seen == [(str(colab.mount), True)]


def test_outside_colab_a_missing_mount_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setenv("HOLDFAST_DRIVE_MOUNT", str(tmp_path / "drive"))
    with pytest.raises(StoreUnusable, match=r"not mounted.*drive-api:folder"):
        hook.prepare("drive:runs")


def test_colab_without_its_package_says_the_line_to_type(colab: Colab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab.drive", None)
    with pytest.raises(StoreUnusable, match=r"could not be mounted.*drive.mount\("):
        hook.prepare("drive:runs")


@pytest.mark.parametrize("url", ["gs://bucket/runs", "drive-api:runs"])
def test_credentials_are_got_once(colab: Colab, url: str) -> None:
    hook.prepare(url)
    hook.prepare(url)
    assert colab.asked == ["credentials"]
    found, _ = google.auth.default()
    assert found.token is None
    assert credentials.at_hand("gs") and credentials.at_hand("drive-api")


def test_credentials_that_are_there_will_do(colab: Colab, monkeypatch: pytest.MonkeyPatch) -> None:
    hook._colab("auth").authenticate_user()
    colab.asked.clear()
    hook.prepare("gs://bucket/runs")
    assert colab.asked == []


def test_refused_credentials_are_said_with_the_line_to_type(
    colab: Colab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COLAB_REFUSES", "credentials")
    for _ in range(2):
        with pytest.raises(StoreUnusable, match=r"did not give credentials.*auth.authenticate_user\(\)"):
            hook.prepare("drive-api:runs")
    assert colab.asked == ["credentials", "credentials"]


@pytest.mark.parametrize(
    ("url", "variable"),
    [("gs://bucket/runs", "STORAGE_EMULATOR_HOST"), ("drive-api:runs", "HOLDFAST_DRIVE_ENDPOINT")],
)
def test_a_server_of_tests_needs_no_credentials(
    colab: Colab, monkeypatch: pytest.MonkeyPatch, url: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    hook.prepare(url)
    assert colab.asked == []


@pytest.mark.parametrize("url", ["runs", "file:///runs"])
def test_a_folder_needs_nothing(colab: Colab, url: str) -> None:
    hook.prepare(url)
    assert colab.asked == []


@pytest.mark.parametrize("url", ["gs://bucket/runs", "drive-api:runs"])
def test_outside_colab_nobody_is_asked(colab: Colab, url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:  # ends before what the fixture set
        patch.delenv("COLAB_RELEASE_TAG")
        hook.prepare(url)
    assert colab.asked == []


@pytest.mark.parametrize("gives", [True, False])
def test_a_machines_own_credentials_count_if_they_give_a_token(
    colab: Colab, monkeypatch: pytest.MonkeyPatch, gives: bool
) -> None:
    def refresh(self: object, request: object) -> None:
        if not gives:
            raise exceptions.RefreshError("nobody is logged in")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(compute_engine.Credentials, "refresh", refresh)
    found = compute_engine.Credentials()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(google.auth, "default", lambda **scopes: (found, None))
    hook.prepare("gs://bucket/runs")
    assert colab.asked == ([] if gives else ["credentials"])


def test_googles_other_packages_stay_importable_beside_it(tmp_path: Path) -> None:
    program = (
        "import google.colab.drive, google.colab.auth, google.cloud.storage; google.colab.drive.mount(place)"
    )
    environment = {**os.environ, **colab_environment(tmp_path), "PYTHONPATH": str(FOLDER)}
    (tmp_path / "content").mkdir()
    place = tmp_path / "content" / "drive"
    subprocess.run([sys.executable, "-c", f"place = {str(place)!r}; {program}"], env=environment, check=True)
    assert (place / "MyDrive").is_symlink()
    assert (tmp_path / "asked.txt").read_text() == "mount\n"


START = "import colab_bootstrap; colab_bootstrap.start({store!r}); print('started')"


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    """Kernels that believe they are in Colab, with its default store."""
    for name in ("content", "cloud"):
        (tmp_path / name).mkdir()
    path = os.pathsep.join([str(FOLDER), *(part for part in sys.path if part)])
    return Kernels(tmp_path, {**colab_environment(tmp_path), "HOLDFAST_STORE": "", "PYTHONPATH": path})


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
def test_the_bootstrap_cell_asks_once_for_each_machine(kernels: Kernels, tmp_path: Path) -> None:
    start = START.format(store=None)
    printed, again = kernels.run(start, start)
    assert "in drive:holdfast: first run" in printed and printed.endswith("started\n")
    assert "rerun" in again and again.endswith("started\n")
    (printed,) = kernels.run(start)
    assert "kernel restart" in printed
    assert (tmp_path / "asked.txt").read_text() == "mount\n"
    assert (tmp_path / "cloud" / "holdfast" / "notebook" / "claims").is_dir()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # jupyter_client's own
@pytest.mark.parametrize(
    ("store", "refused", "line"),
    [
        (None, "mount", "Google Drive could not be mounted: mount failed"),
        ("gs://bucket/runs", "credentials", "Google did not give credentials: Error"),
        ("drive-api:runs", "credentials", "Google did not give credentials: Error"),
    ],
)
def test_who_refuses_sees_one_line_and_is_asked_again_when_he_runs_the_cell_again(
    kernels: Kernels, tmp_path: Path, store: str | None, refused: str, line: str
) -> None:
    kernels.environment["FAKE_COLAB_REFUSES"] = refused
    start = START.format(store=store)
    for printed in kernels.run(start, start):
        assert printed.startswith(f"StoreUnusable: {line}")
        assert "Run: from google.colab import" in printed
        assert printed.count("\n") == 0
    assert (tmp_path / "asked.txt").read_text() == f"{refused}\n" * 2
