"""The story of a run: its sessions, checkpoints, training calls and their losses, as far as a store tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from holdfast.runtime.curves import moment
from holdfast.runtime.description import describe_run
from holdfast.runtime.errors import FormatInvalid, HoldfastError
from holdfast.runtime.holder import Here
from holdfast.runtime.inventory import read_manifests, take_inventory
from holdfast.runtime.manifest import Manifest
from holdfast.runtime.names import Stem, parse_stem
from holdfast.runtime.resumptions import Resumption, together
from holdfast.runtime.retention import Stored
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.slot_story import Return, SlotStory, Trail, losses_of, slot_stories
from holdfast.runtime.spool import Spool, spool_folder
from holdfast.runtime.stores.base import Store

Ending = Literal["ended", "killed", "taken over", "machine lost or left", "runs", "not known"]
"""How a session ended. ``machine lost or left``: the next one was on another machine, and nobody saw this one's
end; ``killed``: its process was gone without a word, as after a crash, a restart of the kernel or a kill."""

INTERRUPTIONS: Final = ("killed", "taken over", "machine lost or left")


@dataclass(frozen=True, slots=True)
class SessionStory:
    """One session.

    Attributes:
        incarnation: Its number.
        session: Its name.
        begun: Unix time in seconds of its claim; None where that is gone.
        ending: How it ended.
        checkpoints: How many of its checkpoints are in the store.
        last_at: Unix time in seconds of the newest state that is known of it; None for none.
    """

    incarnation: int
    session: str
    begun: float | None
    ending: Ending
    checkpoints: int
    last_at: float | None


@dataclass(frozen=True, slots=True)
class CheckpointStory:
    """One checkpoint, or a snapshot that is still only in the local spool.

    Attributes:
        stem: Its name.
        kind: Why it was taken; empty where it is damaged.
        taken_at: Unix time in seconds; None where that is not known.
        slots: The slots it holds.
        nbytes: Bytes of its tensors.
        own_bytes: Bytes of objects that no other checkpoint needs.
        damage: What is wrong with it; empty for nothing that is known.
        place: Where in which training call it was taken, for people.
        written: Whether it is in the store.
    """

    stem: Stem
    kind: str
    taken_at: float | None
    slots: tuple[str, ...]
    nbytes: int
    own_bytes: int
    damage: str
    place: str
    written: bool


@dataclass(slots=True)
class Story:
    """What is known of a run. Times are by the clocks of the machines that noted them.

    Attributes:
        run: Name of the run.
        store: URL of the store.
        object_bytes: Bytes of its objects in the store.
        sessions: Oldest first; commands that claimed the run are none.
        checkpoints: Oldest first.
        slots: In the order in which they were first trained.
        resumptions: Every note of a call that went on from a checkpoint, oldest first.
        claims_unreadable: Claims that are damaged.
        stored: The readable checkpoints in the store, as retention sees them.
        objects: Sizes in bytes of the objects in the store.
        retired: Names of slots that were put aside.
        needed: Checkpoints that the journal names.
    """

    run: str
    store: str
    object_bytes: int = 0
    sessions: list[SessionStory] = field(default_factory=list)
    checkpoints: list[CheckpointStory] = field(default_factory=list)
    slots: list[SlotStory] = field(default_factory=list)
    resumptions: list[Resumption] = field(default_factory=list)
    claims_unreadable: int = 0
    stored: list[Stored] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    needed: frozenset[Stem] = frozenset()

    @property
    def interruptions(self) -> int:
        """Sessions of which it is known that they did not end by themselves."""
        return sum(one.ending in INTERRUPTIONS for one in self.sessions)

    def lost_at_most(self, note: Resumption) -> float | None:
        """Seconds that can have been trained for between a checkpoint and the session that went on from it.

        None where that is not known: a session that was not seen to end may have trained on.
        """
        between = [one for one in self.sessions if note.stem.incarnation <= one.incarnation < note.incarnation]
        begun = next((one.begun for one in self.sessions if one.incarnation == note.incarnation), None)
        if begun is None or begun < note.taken_at or not between:
            return None
        return begun - note.taken_at if all(one.ending in ("killed", "ended") for one in between) else None

    @property
    def returns(self) -> list[Return]:
        """Every call that went on from a checkpoint."""
        return [one for slot in self.slots for one in slot.returns]


def read_story(top: Store, here: Here, reached: Callable[[int, int], None], *, spool: bool = True) -> Story:
    """Reads what a store, and the spool on this machine, know of a run.

    Args:
        top: The whole store.
        here: The run.
        reached: Told how many bytes of manifests are read, and of how many.
        spool: Whether to look for newer snapshots on this machine too.

    Raises:
        StoreError: The store does not answer.
    """
    inventory = take_inventory(top, here.run)
    trail = Trail()
    folder = top.under(here.run)
    if spool:
        local = _spooled(here)
        for manifest in sorted(local, key=lambda one: one.stem, reverse=True):
            trail.take(manifest, written=False)
    document = describe_run(folder, here, inventory, reached, trail.take)
    story = Story(here.run, here.url, inventory.object_bytes, objects=inventory.objects)
    story.stored = trail.stored
    story.slots = slot_stories(trail)
    if trail.journal is not None:
        story.retired = frozenset(slot.name for slot in trail.journal.slots if slot.retired)
        story.needed = trail.journal.stems()
    story.resumptions = together(trail.notes)
    losses_of(story.slots, story.resumptions)
    story.checkpoints = _checkpoints(document["checkpoints"], trail)
    _sessions(story, document["sessions"], here)
    return story


def _spooled(here: Here) -> list[Manifest]:
    """The manifests in the spool on this machine; none where there is no spool."""
    folder = spool_folder(here.spools, here.url, here.run)
    if not folder.is_dir():
        return []
    shelf = Shelf("spool", Spool(folder))
    try:
        found = [one for _, one in read_manifests(shelf, dict(shelf.newest_first()))]
    except HoldfastError:  # being cleared just now: the store is what counts
        return []
    return [one for one in found if not isinstance(one, FormatInvalid) and one.run == here.run]


def _checkpoints(documents: list[dict[str, Any]], trail: Trail) -> list[CheckpointStory]:
    found = []
    for one in documents:
        stem = parse_stem(one["checkpoint"])
        found.append(
            CheckpointStory(
                stem=stem,
                kind=one["kind"] or "",
                taken_at=moment(one["taken_at"]),
                slots=tuple(one["slots"]),
                nbytes=one["tensor_bytes"] or 0,
                own_bytes=one["own_bytes"],
                damage=one["damage"] or "",
                place=trail.described(stem),
                written=True,
            )
        )
    written = {one.stem for one in found}
    found += [_spooled_only(one, trail) for one in trail.spooled if one.stem not in written]
    return sorted(found, key=lambda one: one.stem)


def _spooled_only(manifest: Manifest, trail: Trail) -> CheckpointStory:
    return CheckpointStory(
        stem=manifest.stem,
        kind=manifest.kind,
        taken_at=moment(manifest.taken_at),
        slots=manifest.slots,
        nbytes=manifest.nbytes,
        own_bytes=0,
        damage="",
        place=trail.described(manifest.stem),
        written=False,
    )


def _sessions(story: Story, documents: list[dict[str, Any]], here: Here) -> None:
    """Puts claims, checkpoints and notes together."""
    story.claims_unreadable = sum(one["damage"] is not None for one in documents)
    claims = [one for one in documents if one["damage"] is None]
    known: dict[tuple[int, str], dict[str, Any] | None] = {
        (one["incarnation"], one["session"]): one for one in claims if one["by"] == "session"
    }
    tools = {(one["incarnation"], one["session"]) for one in claims if one["by"] != "session"}
    last: dict[tuple[int, str], float] = {}
    made: dict[tuple[int, str], int] = {}
    evidence = [(one.stem, one.taken_at) for one in story.checkpoints]
    evidence += [(one.stem, one.taken_at) for one in story.resumptions]
    for stem, taken_at in evidence:
        who = stem.incarnation, stem.session
        if who not in tools:
            known.setdefault(who, None)
            if taken_at is not None:
                last[who] = max(taken_at, last.get(who, 0.0))
    for one in story.checkpoints:
        who = one.stem.incarnation, one.stem.session
        made[who] = made.get(who, 0) + one.written
    local = here.last()
    order = sorted(known)
    for place, who in enumerate(order):
        claim, after = known[who], [known[later] for later in order[place + 1 :]]
        ending = _ending(who[1], claim, [one for one in after if one is not None], local)
        begun = moment(claim["claimed_at"]) if claim else None
        story.sessions.append(SessionStory(*who, begun, ending, made.get(who, 0), last.get(who)))


def _ending(
    session: str, claim: dict[str, Any] | None, after: list[dict[str, Any]], local: tuple[str, str] | None
) -> Ending:
    """How a session ended: as the next one on its machine found it, or as it is seen on this machine."""
    if claim is not None and claim["life"] == "alive":
        return "runs"
    for later in after:
        if later["before"] is not None and later["before"]["session"] == session:
            return _seen(later["before"]["ending"], over=True)
    if local is not None and local[0] == session:
        return _seen(local[1], over=bool(after))
    if claim is not None and after and after[0]["machine"] != claim["machine"]:
        return "machine lost or left"
    return "not known"


def _seen(ending: str, *, over: bool) -> Ending:
    match ending:
        case "ended" | "killed":
            return ending
        case _:
            return "taken over" if over else "runs"
