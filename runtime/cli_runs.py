"""``holdfast runs``: which runs a store has."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast.runtime import report
from holdfast.runtime.cli_common import JsonOption, Place, StoreOption, emit, line, table, when
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.inventory import take_inventory
from holdfast.runtime.restore import newest
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import Store


def runs(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Lists the runs of a store. Reads names and sizes, and of each run the newest manifest."""
    place = Place(store)
    names = place.run_names()
    threads = 2 * place.top.capabilities.parallel
    with ThreadPoolExecutor(threads, thread_name_prefix="holdfast-runs") as pool:
        found = list(pool.map(lambda name: describe(place.top, name), names))
    if as_json:
        emit({"store": place.url, "runs": found})
        return
    line(f"{len(found)} run{'s' if len(found) != 1 else ''} in {place.url}")
    if found:
        head = ["run", "checkpoints", "newest", "taken", "kind", "objects", "sessions", "remarks"]
        table(head, map(_row, found), numbers=["checkpoints", "objects", "sessions"])


def describe(top: Store, run: str) -> dict[str, Any]:
    """A run in a few numbers, as JSON."""
    inventory = take_inventory(top, run)
    remarks: list[str] = []

    def damaged(error: HoldfastError) -> None:
        remarks.append(error.what)

    pair = newest([Shelf("store", top.under(run))], set(), damaged)
    if pair is None and inventory.manifests:
        remarks.append("no checkpoint opens")
    if inventory.foreign:
        remarks.append(f"{len(inventory.foreign)} foreign files or folders")
    manifest = pair[0].manifest if pair else None
    return {
        "run": run,
        "checkpoints": len(inventory.manifests),
        "newest": None
        if manifest is None
        else {"checkpoint": str(manifest.stem), "kind": manifest.kind, "taken_at": manifest.taken_at},
        "objects": len(inventory.objects),
        "object_bytes": inventory.object_bytes,
        "claims": len(inventory.claims),
        "remarks": remarks,
    }


def _row(run: dict[str, Any]) -> list[str]:
    newest_one = run["newest"] or {"checkpoint": "none", "kind": "", "taken_at": None}
    taken = newest_one["taken_at"]
    return [
        run["run"],
        str(run["checkpoints"]),
        newest_one["checkpoint"],
        "" if taken is None else when(taken, time.time()),
        newest_one["kind"],
        report.size(run["object_bytes"]),
        str(run["claims"]),
        "; ".join(run["remarks"]),
    ]
