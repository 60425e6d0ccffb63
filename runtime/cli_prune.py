"""``holdfast prune``: retention, now and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from holdfast.runtime import claims, report
from holdfast.runtime.catalogue import Catalogue
from holdfast.runtime.cli_common import (
    JsonOption,
    Place,
    RunArgument,
    StoreOption,
    YesOption,
    ask_holder,
    bar,
    emit,
    line,
)
from holdfast.runtime.holder import ensure_claim
from holdfast.runtime.names import object_path
from holdfast.runtime.noted_deletes import NotedDeletes
from holdfast.runtime.retention import Policy
from holdfast.runtime.settings import Settings
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import Store
from holdfast.runtime.upkeep import Upkeep

READ_AT_ONCE: Final = 50
"""Manifests read between two movements of the bar."""


def prune(
    run: RunArgument,
    store: StoreOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Says what would go, and touches nothing.")
    ] = False,
    keep_last: Annotated[
        int | None, typer.Option(help="Newest checkpoints kept of each slot; by default the setting.")
    ] = None,
    keep_hourly: Annotated[
        int | None,
        typer.Option(help="Hours of each slot of which the newest checkpoint is kept; by default the setting."),
    ] = None,
    keep_daily: Annotated[int | None, typer.Option(help="Days likewise; by default the setting.")] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="What the run may take, in bytes or as '10 GB'; by default the setting."
        ),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deletes the checkpoints that the settings do not keep, and the objects that go with them."""
    place = Place(store)
    folder = place.run(run)
    given = {
        "keep_last": keep_last,
        "keep_hourly": keep_hourly,
        "keep_daily": keep_daily,
        "max_bytes": max_bytes,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    policy = policy_of(place.settings.with_changes(changes, where="command line"))
    here = place.here(run)
    if dry_run:
        incarnation, ensure = claims.highest(folder)[0] + 1, _no_claim_needed
    else:
        ask_holder(here.holder_of(folder), yes=yes)
        claim = here.claim(folder)
        incarnation, ensure = claim.incarnation, lambda: ensure_claim(folder, claim)
    document = _apply(folder, policy, incarnation, ensure, dry_run=dry_run, quiet=as_json)
    document = {"store": place.url, "run": run, "dry_run": dry_run, **document}
    emit(document) if as_json else _print(document)


def _no_claim_needed() -> None:
    """A dry run writes nothing."""


def policy_of(settings: Settings) -> Policy:
    """What the settings keep."""
    return Policy(settings.keep_last, settings.keep_hourly, settings.keep_daily, settings.max_bytes)


def _apply(
    folder: Store,
    policy: Policy,
    incarnation: int,
    ensure: Callable[[], None],
    *,
    dry_run: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Applies retention once all manifests are read; what goes, as JSON."""
    catalogue = Catalogue(Shelf("store", folder))
    catalogue.learn()
    total = len(catalogue.unread)
    with bar("reading manifests", quiet=quiet, unit=" manifests") as reached:
        while not catalogue.read_some(READ_AT_ONCE):
            reached(total - len(catalogue.unread), total)
    sizes = dict(catalogue.objects)
    store = NotedDeletes(folder, dry=dry_run)
    upkeep = Upkeep(store, catalogue, policy)
    unreadable = set(catalogue.unreadable)
    gone = upkeep.run(incarnation, ensure)
    stems, objects = list(gone.manifests), list(gone.objects)
    damaged = sorted(unreadable - catalogue.unreadable)
    if damaged:  # now that they are gone, what nobody else needs can go too
        gone = upkeep.run(incarnation, ensure)
        stems += gone.manifests
        objects += gone.objects
    planned = {stem.manifest_path for stem in (*stems, *damaged)} | set(map(object_path, objects))
    freed = sum(sizes[name] for name in objects)
    return {
        "checkpoints": [str(stem) for stem in stems],
        "damaged": [str(stem) for stem in damaged],
        "objects": [object_path(name) for name in objects],
        "others": [name for name in store.deleted if name not in planned],
        "bytes_freed": freed,
        "bytes_kept": sum(sizes.values()) - freed,
        "kept": [str(stem) for stem in sorted(catalogue.read, reverse=True)],
        "unreadable": [str(stem) for stem in sorted(catalogue.unreadable, reverse=True)],
        "over": gone.over,
    }


def _print(done: dict[str, Any]) -> None:
    verb = "would be deleted" if done["dry_run"] else "deleted"
    for stem in done["checkpoints"]:
        line(f"checkpoint {stem}")
    for stem in done["damaged"]:
        line(f"checkpoint {stem}, which is damaged")
    for name in (*done["objects"], *done["others"]):
        line(name)
    line(
        f"{len(done['checkpoints']) + len(done['damaged'])} checkpoints, {len(done['objects'])} objects "
        f"({report.size(done['bytes_freed'])}) and {len(done['others'])} other files {verb}; "
        f"{len(done['kept'])} checkpoints ({report.size(done['bytes_kept'])}) stay"
    )
    if done["unreadable"]:
        report.say(
            f"{len(done['unreadable'])} manifests cannot be read, so no object is deleted. "
            f"See: holdfast verify {done['run']!r}"
        )
    if done["over"]:
        report.say("what is kept takes more than max_bytes: the newest checkpoint of each slot always stays")
