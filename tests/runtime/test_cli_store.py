"""The commands that look into a store: what they print, how they end, and what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors
import typer

from helpers.faults import flip_bit, tree, truncate
from helpers.filled_store import fill, lost, tensors
from helpers.processes import environment
from helpers.snapshots import ensure_claimed, object_file, stem, stored, uploaded
from helpers.store_makers import MAKERS
from holdfast.runtime import claims, cli, patience, report
from holdfast.runtime.claims import Claim
from holdfast.runtime.exit_codes import MEANINGS, ExitCode
from holdfast.runtime.holder import Here
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId, machine_id
from holdfast.runtime.retention import Policy
from holdfast.runtime.service import Service
from holdfast.runtime.spool import Spool, spool_folder
from holdfast.runtime.status import DaemonStatus
from holdfast.runtime.stores import Content, FolderStore
from holdfast.runtime.upload import Uploader

NAMES = [str(stem(number)) for number in (5, 4, 3, 2, 1)]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose default store has a run, on a machine whose sessions have all ended."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HOLDFAST_S") or name == "COLAB_RELEASE_TAG"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOLDFAST_SPOOL", str(tmp_path / "local"))
    fill(FolderStore(tmp_path / "holdfast"), tmp_path / "spool")
    claim_as(tmp_path, process=ProcessId(2**22 + 1, 1.0))
    return tmp_path


def claim_as(place: Path, process: ProcessId, machine: str | None = None, incarnation: int = 2) -> Claim:
    """Claims the run as a session of this machine, or of another."""
    made = Claim(incarnation, "bbbbbbbb", machine or machine_id(place / "local"), process, 1_700_000_000.0)
    FolderStore(place / "holdfast" / "run").create(made.name, Content.of(to_json(made.to_dict())))
    return made


@pytest.fixture
def holdfast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in this process."""

    def call(*words: str) -> Ended:
        monkeypatch.setattr(report, "_said", set())
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        shown = capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    return call


@pytest.fixture
def run(place: Path) -> Path:
    """The run's folder."""
    return place / "holdfast" / "run"


def answers(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> list[str]:
    """Has somebody at the terminal who answers every question so; returns the questions."""
    asked: list[str] = []

    def confirm(question: str, **how: Any) -> bool:
        asked.append(question)
        return yes

    monkeypatch.setattr(typer, "confirm", confirm)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return asked


# --- runs -----------------------------------------------------------------------------------


def test_runs_lists_what_the_store_has(place: Path, holdfast: Command) -> None:
    ensure_claimed(FolderStore(place / "holdfast" / "begun"))
    (place / "holdfast" / "pictures").mkdir()
    (place / "holdfast" / "notes.txt").write_text("mine", encoding="utf-8")
    (place / "holdfast" / "run" / "foreign").mkdir()
    done = holdfast("runs", "--json")
    assert done.code == 0
    assert done.document["store"] == (place / "holdfast").as_uri()
    begun, run = done.document["runs"]
    assert begun == {
        "run": "begun",
        "checkpoints": 0,
        "newest": None,
        "objects": 0,
        "object_bytes": 0,
        "claims": 1,
        "remarks": [],
    }
    assert (run["run"], run["checkpoints"], run["claims"]) == ("run", 5, 2)
    assert run["newest"] == {"checkpoint": NAMES[0], "kind": "scheduled", "taken_at": 1_700_000_000.25}
    files = tree(place / "holdfast" / "run" / "objects")
    assert (run["objects"], run["object_bytes"]) == (len(files), sum(map(len, files.values())))
    assert run["remarks"] == ["1 foreign files or folders"]
    shown = holdfast("runs")
    assert (shown.code, shown.err) == (0, "")
    assert NAMES[0] in shown.out


def test_runs_reads_one_manifest_of_each_run(
    place: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(FolderStore(place / "holdfast"), place / "spool", "other")
    read: list[str] = []
    before = FolderStore.read_into

    def noting(self: FolderStore, name: str, offset: int, buffer: memoryview) -> None:
        read.append(name)
        before(self, name, offset, buffer)

    monkeypatch.setattr(FolderStore, "read_into", noting)
    assert len(holdfast("runs", "--json").document["runs"]) == 2
    assert read == [stem(5).manifest_path] * 2


def test_runs_says_where_the_newest_is_damaged(run: Path, holdfast: Command) -> None:
    (run / stem(5).manifest_path).write_bytes(b"{}")
    (found,) = holdfast("runs", "--json").document["runs"]
    assert found["newest"]["checkpoint"] == NAMES[1]
    assert f"Checkpoint {NAMES[0]} is damaged" in found["remarks"][0]


def test_a_store_that_is_not_there_has_no_runs_and_is_not_made(place: Path, holdfast: Command) -> None:
    done = holdfast("runs", "--store", "none", "--json")
    assert (done.code, done.document["runs"]) == (0, [])
    assert not (place / "none").exists()


# --- show -----------------------------------------------------------------------------------


def test_show_tells_sessions_checkpoints_slots_and_calls(run: Path, holdfast: Command) -> None:
    (run / stem(4).manifest_path).write_bytes(b"{}")
    found = holdfast("show", "run", "--json").document
    assert [one["session"] for one in found["sessions"]] == ["bbbbbbbb", "aaaaaaaa"]
    assert [one["life"] for one in found["sessions"]] == ["ended", "superseded"]
    assert [one["checkpoint"] for one in found["checkpoints"]] == NAMES
    newest, damaged, _, milestone, _ = found["checkpoints"]
    assert "Not a manifest" in damaged["damage"]
    assert (newest["damage"], newest["kind"], milestone["kind"]) == (None, "scheduled", "milestone")
    assert newest["tensor_bytes"] == sum(map(len, tensors(5).values())) + (1 << 20)
    own = [object_file(run, stem(number).object_name()) for number in (4, 5)]  # its patches, and nobody else's
    assert newest["own_bytes"] == sum(path.stat().st_size for path in own)
    (slot,) = found["slots"]
    assert (slot["slot"], slot["newest"], slot["retired"]) == ("slot-0000", NAMES[0], False)
    (call,) = slot["calls"]
    assert (call["epochs_done"], call["epochs_asked"], call["status"]) == (5, 10, "open")
    assert call["milestone"] == str(stem(2))
    shown = holdfast("show", "run")
    for text in ("bbbbbbbb", "5/10", "2 layers (Dense, Dropout)", "milestone", "Not a manifest"):
        assert text in shown.out


def test_show_tells_the_tensors_of_a_checkpoint(run: Path, holdfast: Command) -> None:
    found = holdfast("show", "run", NAMES[0], "--json").document
    named = {one["name"]: one for one in found["tensors"]}
    assert named.keys() == {*tensors(5), "model/table"}
    table = named["model/table"]
    assert (table["dtype"], table["shape"], table["bytes"]) == ("U8", [1 << 20], 1 << 20)
    assert table["object"] == stem(2).object_name()
    assert table["patches"] == 3
    assert named["model/a/tensor-0"]["label"] == "dense/kernel"
    assert (found["states"][0]["epoch"], found["states"][0]["batch"], found["states"][0]["logs"]) == (
        5,
        3,
        {"loss": 0.5},
    )
    shown = holdfast("show", "run", NAMES[0])
    for text in ("model/table", "1048576", "dense/kernel", "after 5 whole epochs"):
        assert text in shown.out


def test_a_text_from_a_store_does_nothing_to_the_terminal(run: Path, holdfast: Command) -> None:
    (run / "\x1b[31mred").write_bytes(b"")
    found = holdfast("verify", "run")
    assert "\x1b" not in found.out
    assert "red" in found.out


# --- how commands end -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["show", "none"], ExitCode.NOT_FOUND, "There is no run 'none'"),
        (["show", "run", "nonsense"], ExitCode.NOT_FOUND, "nonsense is not the name"),
        (["show", "run", "00000009-000001-aaaaaaaa"], ExitCode.NOT_FOUND, "There is no checkpoint"),
        (["verify", "none"], ExitCode.NOT_FOUND, "There is no run 'none'"),
        (["verify", "../run"], ExitCode.USAGE, "cannot name a run"),
        (["verify", "--repair"], ExitCode.USAGE, "wants the name of a run"),
        (["prune", "run", "--keep-last", "0"], ExitCode.USAGE, "keep_last takes a whole number from 1"),
        (["prune", "run", "--max-bytes", "many"], ExitCode.USAGE, "max_bytes takes"),
        (["prune"], ExitCode.USAGE, "Missing argument"),
        (["show", "run", "--store", "s3://x"], ExitCode.STORE, "'s3' are not known"),
        (["runs", "--store", "file"], ExitCode.STORE, "Not a directory"),
        (["export", "run", "--to", "x.pickle"], ExitCode.USAGE, "suffix '.pickle'"),
        (["export", "run", "--to", "x", "--format", "onnx"], ExitCode.USAGE, "no form 'onnx'"),
        (["export", "run", "--to", "no/x.safetensors"], ExitCode.NOT_EXPORTED, "no such folder"),
        (["export", "run", "--to", "x.safetensors", "--slot", "slot-0009"], ExitCode.NOT_FOUND, "slot-0009"),
        (
            ["export", "run", "--to", "x.safetensors", "--slot", "slot-0009", "--checkpoint", NAMES[0]],
            ExitCode.NOT_FOUND,
            "holds slot-0000",
        ),
    ],
)
def test_an_error_is_one_line_and_a_status_of_the_table(
    place: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, text: str
) -> None:
    monkeypatch.setattr(patience, "STORE_SECONDS", 0.0)
    (place / "file").write_bytes(b"x")
    done = holdfast(*words)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    if code != ExitCode.USAGE or "Usage" not in done.err:
        assert done.err.startswith("holdfast: ")
        assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["show", "run"],
        ["show", "run", NAMES[0]],
        ["verify"],
        ["verify", "run", "--repair", "--yes"],
        ["prune", "run", "--dry-run"],
        ["prune", "run", "--keep-last", "1"],
        ["export", "run", "--to", "x.safetensors"],
    ],
)
def test_json_is_one_document_and_nothing_else(place: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.runtime.cli", *words, "--json"],
        cwd=place,
        env=environment({"HOLDFAST_SPOOL": str(place / "local")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), dict)


def test_help_names_every_exit_status_and_describes_every_option(holdfast: Command) -> None:
    shown = " ".join(holdfast("--help").out.split())
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
    group = typer.main.get_command(cli.app_of(cli.COMMANDS))
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_the_store_is_that_of_the_settings(
    place: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "holdfast.yaml").write_text("store: ./other\n", encoding="utf-8")
    fill(FolderStore(place / "other"), place / "spool", "there")
    assert [one["run"] for one in holdfast("runs", "--json").document["runs"]] == ["there"]
    monkeypatch.setenv("HOLDFAST_STORE", "./holdfast")
    assert [one["run"] for one in holdfast("runs", "--json").document["runs"]] == ["run"]
    (place / "holdfast.yaml").write_text("stores: ./other\n", encoding="utf-8")
    assert holdfast("runs").code == ExitCode.USAGE


# --- verify ---------------------------------------------------------------------------------


def test_verify_finds_nothing_in_a_sound_store_and_touches_nothing(place: Path, holdfast: Command) -> None:
    before = tree(place)
    done = holdfast("verify", "--json")
    assert done.code == 0
    (found,) = done.document["runs"]
    assert (found["checkpoints"], found["newest_sound"], found["damages"]) == (5, NAMES[0], [])
    assert "all checkpoints are sound" in holdfast("verify", "run").out
    assert tree(place) == before


def test_verify_names_the_damage_and_ends_with_5(run: Path, holdfast: Command) -> None:
    path = object_file(run, stem(4).object_name())
    flip_bit(path)
    done = holdfast("verify", "--json")
    assert done.code == ExitCode.DAMAGE
    (found,) = done.document["runs"]
    (damage,) = found["damages"]
    assert (damage["subject"], damage["name"]) == ("object", str(path.relative_to(run)))
    assert set(damage["checkpoints"]) == {str(one) for one in lost(run.parent)} == set(NAMES[:2])
    assert found["newest_sound"] == NAMES[2]
    shown = holdfast("verify", "run")
    assert shown.code == ExitCode.DAMAGE
    assert "2 of 5 checkpoints damaged" in shown.out


def damage(run: Path) -> None:
    """Costs the two newest checkpoints and one manifest; a claim and an orphan too."""
    flip_bit(object_file(run, stem(4).object_name()))
    (run / stem(1).manifest_path).write_bytes(b"{}")
    (run / "claims" / "00000001-cccccccc.json").write_bytes(b"{")
    object_file(run, stem(3).object_name(attempt=2)).write_bytes(b"orphan")


def test_repair_deletes_what_is_damaged_and_nothing_else(run: Path, holdfast: Command) -> None:
    damage(run)
    coming = object_file(run, stem(9).object_name())
    coming.write_bytes(b"its manifest is still to come")
    sound = {number: stored(FolderStore(run), stem(number)) for number in (2, 3)}
    done = holdfast("verify", "run", "--repair", "--yes", "--json")
    assert done.code == 0
    (found,) = done.document["runs"]
    what = found["repair"]
    assert what["checkpoints"] == [NAMES[0], NAMES[1], NAMES[4]]
    assert what["claims"] == ["claims/00000001-cccccccc.json"]
    assert (found["damages"], found["newest_sound"], found["checkpoints"]) == ([], NAMES[2], 2)
    left = tree(run)
    for name in (*what["objects"], *what["claims"]):
        assert name not in left
    assert {name for name in left if name.startswith("manifests/")} == {
        stem(number).manifest_path for number in (2, 3)
    }
    assert str(object_file(run, stem(3).object_name(attempt=2)).relative_to(run)) not in left
    assert coming.exists()
    for number, held in sound.items():
        assert stored(FolderStore(run), stem(number)) == held
    assert claims.highest(FolderStore(run))[0] == what["incarnation"] == 3
    assert holdfast("verify", "run").code == 0


def test_repair_asks_and_without_an_answer_does_nothing(
    run: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(run)
    before = tree(run)
    refused = holdfast("verify", "run", "--repair")
    assert refused.code == ExitCode.REFUSED
    assert "--yes" in refused.err
    asked = answers(monkeypatch, yes=False)
    assert holdfast("verify", "run", "--repair").code == ExitCode.REFUSED
    assert len(asked) == 1
    assert NAMES[4] in asked[0]
    assert tree(run) == before


def test_repair_of_a_sound_run_claims_nothing(run: Path, holdfast: Command) -> None:
    before = tree(run)
    assert holdfast("verify", "run", "--repair", "--yes").code == 0
    assert tree(run) == before


@pytest.mark.parametrize("spoilt", ["every tensor", "every manifest"])
def test_the_only_checkpoint_of_a_slot_goes_only_with_yes(
    run: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    for path in [path for path in run.rglob("*") if path.is_file()]:
        if spoilt == "every tensor" and path.parts[-4] == "objects":
            truncate(path)
        if spoilt == "every manifest" and path.parts[-4] == "manifests":
            path.write_bytes(b"{}")
    before = tree(run)
    answers(monkeypatch, yes=True)
    done = holdfast("verify", "run", "--repair")
    assert done.code == ExitCode.DAMAGE
    assert f"checkpoint {NAMES[0]} is the only one of a slot and is kept" in done.err
    assert tree(run) == before
    assert holdfast("verify", "run", "--repair", "--yes").code == 0
    assert [name for name in tree(run) if not name.startswith("claims/")] == []


def test_what_a_fenced_session_wrote_at_the_last_moment_stays(
    run: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(run)
    claim = Here.claim

    def claims_late(self: Here, store: Any) -> Claim:
        """A session's manifest arrives just before the claim."""
        uploaded_late(run)
        return claim(self, store)

    monkeypatch.setattr(Here, "claim", claims_late)
    done = holdfast("verify", "run", "--repair", "--yes", "--json")
    assert done.code == 0
    (found,) = done.document["runs"]
    late = stem(6, incarnation=2, session="bbbbbbbb")
    assert found["newest_sound"] == str(late)
    assert stored(FolderStore(run), late) == tensors(5), "it needs what a damaged one wrote"


def uploaded_late(run: Path) -> None:

    spool = Spool(run.parent.parent / "late")
    spool.make_folders()
    uploader = Uploader(FolderStore(run), spool)
    uploader.catalogue.learn()
    uploaded(uploader, stem(6, incarnation=2, session="bbbbbbbb"), tensors(5))


# --- who holds the run ----------------------------------------------------------------------


@pytest.mark.parametrize("command", [["verify", "run", "--repair"], ["prune", "run", "--keep-last", "1"]])
@pytest.mark.parametrize("life", ["alive", "unknown"])
def test_a_session_that_may_live_is_stopped_only_by_yes(
    place: Path, run: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch, life: str, command: list[str]
) -> None:
    damage(run)
    own = ProcessId.own()
    held = claim_as(place, own, None if life == "alive" else "another machine", incarnation=4)
    before = tree(run)
    done = holdfast(*command)
    assert done.code == ExitCode.REFUSED
    assert f"session {held.session}" in done.err
    assert ("process" if life == "alive" else "another machine") in done.err
    asked = answers(monkeypatch, yes=False)
    assert holdfast(*command).code == ExitCode.REFUSED
    assert len(asked) == 1
    assert tree(run) == before
    assert holdfast(*command, "--yes").code == 0
    assert claims.highest(FolderStore(run))[0] == 5


def test_a_session_that_said_it_ended_is_not_asked_for(place: Path, run: Path, holdfast: Command) -> None:
    own = ProcessId.own()
    held = claim_as(place, own, incarnation=4)
    folder = spool_folder(place / "local", (place / "holdfast").as_uri(), "run")
    folder.mkdir(parents=True)
    words = ("run", (place / "holdfast").as_uri(), 9.0, Policy(), frozenset[Any]())
    Service(held.session, held.incarnation, own, False, *words).save(folder)  # noqa: FBT003
    assert holdfast("prune", "run", "--keep-last", "1").code == ExitCode.REFUSED
    Service(held.session, held.incarnation, own, True, *words).save(folder)  # noqa: FBT003
    assert holdfast("prune", "run", "--keep-last", "1").code == 0


def test_a_daemon_that_still_uploads_is_asked_for(place: Path, run: Path, holdfast: Command) -> None:
    held = claim_as(place, ProcessId(2**22 + 1, 1.0), incarnation=4)
    folder = spool_folder(place / "local", (place / "holdfast").as_uri(), "run")
    folder.mkdir(parents=True)
    own = ProcessId.own()
    DaemonStatus(pid=own.pid, started=own.started, session=held.session).save(folder)
    assert holdfast("prune", "run", "--keep-last", "1").code == ExitCode.REFUSED
    DaemonStatus(pid=2**22 + 1, started=1.0, session=held.session).save(folder)
    assert holdfast("prune", "run", "--keep-last", "1").code == 0


@pytest.fixture
def claimed_meanwhile(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session claims the run right after the tool did."""
    claim = Here.claim

    def claims_too(self: Here, store: Any) -> Claim:
        made = claim(self, store)
        ensure_claimed(FolderStore(run), made.incarnation + 1, "dddddddd")
        return made

    monkeypatch.setattr(Here, "claim", claims_too)


@pytest.mark.usefixtures("claimed_meanwhile")
@pytest.mark.parametrize(
    "command", [["verify", "run", "--repair", "--yes"], ["prune", "run", "--keep-last", "1"]]
)
def test_a_session_that_claims_the_run_meanwhile_stops_the_tool(
    run: Path, holdfast: Command, command: list[str]
) -> None:
    damage(run)
    before = tree(run)
    done = holdfast(*command)
    assert done.code == ExitCode.REFUSED
    assert "dddddddd" in done.err
    assert {name for name in before if name not in tree(run)} == set()


# --- prune ----------------------------------------------------------------------------------

KEEP_ONE = ("--keep-last", "1", "--keep-hourly", "0", "--keep-daily", "0")


def test_a_dry_run_says_what_the_real_one_then_does_and_touches_nothing(
    place: Path, run: Path, holdfast: Command
) -> None:
    for number in range(30):  # more claims than are kept
        (run / "claims" / f"00000001-{number:08x}.json").write_bytes(b"{}")
    object_file(run, stem(3).object_name(attempt=1)).write_bytes(b"orphan")
    leftover = run / "objects" / "00000001" / "000" / f".{stem(3).object_name()}.12345678.part"
    leftover.write_bytes(b"half")
    before = tree(place)
    planned = holdfast("prune", "run", *KEEP_ONE, "--dry-run", "--json").document
    assert tree(place) == before
    shown = holdfast("prune", "run", *KEEP_ONE, "--dry-run").out
    assert "would be deleted" in shown
    for name in (*planned["checkpoints"], *planned["objects"], *planned["others"]):
        assert name in shown
    done = holdfast("prune", "run", *KEEP_ONE, "--json")
    assert done.code == 0
    assert {**done.document, "dry_run": True} == planned
    assert planned["checkpoints"] == [str(stem(number)) for number in (1, 3, 4)]
    assert planned["kept"] == [str(stem(5)), str(stem(2))]
    kept = tree(run)
    gone = {name for name in before if name.startswith("holdfast/run/")} - {
        f"holdfast/run/{name}" for name in kept
    }
    manifests = {stem(number).manifest_path for number in (1, 3, 4)}
    assert {name.removeprefix("holdfast/run/") for name in gone} == {
        *manifests, *planned["objects"], *planned["others"],
    }  # fmt: skip
    assert planned["bytes_freed"] == sum(len(before[f"holdfast/run/{name}"]) for name in planned["objects"])
    assert planned["bytes_freed"] > 0
    assert leftover.name in str(planned["others"])
    assert sum("claims/" in name for name in planned["others"]) > 0
    assert stored(FolderStore(run), stem(5))["model/a/tensor-0"] == tensors(5)["model/a/tensor-0"]


def test_prune_keeps_to_the_settings_where_no_option_says_otherwise(
    place: Path, run: Path, holdfast: Command
) -> None:
    (place / "holdfast.yaml").write_text("keep_last: 2\nkeep_hourly: 0\nkeep_daily: 0\n", encoding="utf-8")
    assert holdfast("prune", "run", "--dry-run", "--json").document["kept"] == [NAMES[0], NAMES[1], NAMES[3]]
    few = holdfast("prune", "run", "--dry-run", "--max-bytes", "1 kB", "--json").document
    assert few["over"]
    assert few["kept"] == [NAMES[0]]
    assert holdfast("prune", "run", "--dry-run", "--max-bytes", "1000", "--json").document == few


def test_prune_deletes_no_object_while_a_manifest_is_damaged(run: Path, holdfast: Command) -> None:
    (run / stem(5).manifest_path).write_bytes(b"{}")
    done = holdfast("prune", "run", *KEEP_ONE)
    assert done.code == 0
    assert "no object is deleted" in done.err
    assert len(tree(run / "objects")) == 5


def test_prune_deletes_a_damaged_manifest_that_is_outlived_with_what_only_it_could_need(
    run: Path, holdfast: Command
) -> None:
    (run / stem(1).manifest_path).write_bytes(b"{}")
    orphan = object_file(run, stem(1).object_name(attempt=1))
    orphan.write_bytes(b"orphan")
    planned = holdfast("prune", "run", "--dry-run", "--json").document
    assert orphan.exists()
    assert planned["damaged"] == [NAMES[4]]
    assert planned["objects"] == [str(orphan.relative_to(run))]
    assert {**holdfast("prune", "run", "--json").document, "dry_run": True} == planned
    assert not orphan.exists()
    assert not (run / stem(1).manifest_path).exists()


# --- export ---------------------------------------------------------------------------------


def opened(path: Path) -> dict[str, bytes]:
    """The tensors of an exported file, by the stock library."""
    with safetensors.safe_open(path, "np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 - it is no dict


def test_an_exported_file_has_the_variables_by_readable_names(
    place: Path, run: Path, holdfast: Command
) -> None:
    done = holdfast("export", "run", "--to", "x.safetensors", "--json")
    assert done.code == 0
    assert done.document["checkpoint"] == NAMES[0]
    held = stored(FolderStore(run), stem(5))
    names = {"model/a/tensor-0": "model/dense/kernel", "model/b/tensor-0": "model/dense/bias"}
    assert opened(place / "x.safetensors") == {
        names.get(name, name): data for name, data in held.items() if name.startswith("model/")
    }
    with safetensors.safe_open(place / "x.safetensors", "np") as file:
        assert file.metadata()["checkpoint"] == NAMES[0]
    assert done.document["bytes"] == (place / "x.safetensors").stat().st_size
    older = holdfast("export", "run", "--to", "y.safetensors", "--checkpoint", NAMES[3])
    assert older.code == 0
    assert opened(place / "y.safetensors")["model/dense/kernel"] == tensors(2)["model/a/tensor-0"]


def test_export_takes_the_next_older_one_where_the_newest_is_damaged(
    place: Path, run: Path, holdfast: Command
) -> None:
    flip_bit(object_file(run, stem(5).object_name()))
    done = holdfast("export", "run", "--to", "x.safetensors", "--json")
    assert (done.code, done.document["checkpoint"]) == (0, NAMES[1])
    assert "does not have the bytes it should" in done.err
    named = holdfast("export", "run", "--to", "y.safetensors", "--checkpoint", NAMES[0])
    assert named.code == ExitCode.DAMAGE
    assert {path.name for path in place.glob("*y.safetensors*")} == set()


def test_export_of_nothing_sound_is_damage(place: Path, run: Path, holdfast: Command) -> None:
    for path in (run / "objects").rglob("*.safetensors"):
        truncate(path)
    done = holdfast("export", "run", "--to", "x.safetensors")
    assert done.code == ExitCode.DAMAGE
    assert "No sound checkpoint is left" in done.err
    assert not (place / "x.safetensors").exists()


def test_an_export_replaces_nothing_without_force(place: Path, run: Path, holdfast: Command) -> None:
    (place / "x.safetensors").write_bytes(b"mine")
    assert holdfast("export", "run", "--to", "x.safetensors").code == ExitCode.NOT_EXPORTED
    assert (place / "x.safetensors").read_bytes() == b"mine"
    assert holdfast("export", "run", "--to", "x.safetensors", "--force").code == 0
    assert opened(place / "x.safetensors")


def test_variables_of_one_name_are_told_apart(place: Path, run: Path, holdfast: Command) -> None:
    path = run / stem(5).manifest_path
    manifest = json.loads(path.read_bytes())
    manifest["state"]["labels"] = dict.fromkeys(tensors(5), "kernel")
    path.write_bytes(to_json(manifest))
    assert holdfast("export", "run", "--to", "x.safetensors").code == 0
    found = opened(place / "x.safetensors")
    assert found["model/kernel (model/a/tensor-1)"] == tensors(5)["model/a/tensor-1"]
    assert len(found) == len([name for name in tensors(5) if name.startswith("model/")]) + 1


# --- every store ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "spool"])
def test_every_command_works_on_every_store(
    tmp_path: Path, holdfast: Command, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_SPOOL", str(tmp_path / "local"))
    with MAKERS[kind](tmp_path) as made:
        monkeypatch.setattr(patience, "open_store", lambda url, **how: made.store)
        fill(made.store, tmp_path / "spool")
        assert [one["run"] for one in holdfast("runs", "--json").document["runs"]] == ["run"]
        assert len(holdfast("show", "run", "--json").document["checkpoints"]) == 5
        assert holdfast("verify", "--json").document["runs"][0]["newest_sound"] == NAMES[0]
        assert holdfast("export", "run", "--to", "x.safetensors").code == 0
        assert opened(tmp_path / "x.safetensors")["model/dense/kernel"] == tensors(5)["model/a/tensor-0"]
        made.store.under("run").delete(stem(4).manifest_path)
        made.store.under("run").create(stem(4).manifest_path, Content.of(b"{}"))
        assert holdfast("verify", "run").code == ExitCode.DAMAGE
        assert holdfast("verify", "run", "--repair", "--yes").code == 0
        assert holdfast("prune", "run", *KEEP_ONE, "--yes").code == 0
        assert len(holdfast("show", "run", "--json").document["checkpoints"]) == 2
        assert holdfast("verify", "run").code == 0
