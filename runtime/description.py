"""A run and a checkpoint as JSON, for people and scripts; the keys are those of docs/cli.md."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from holdfast.runtime import claims
from holdfast.runtime.errors import FormatInvalid, ObjectNotFound
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.holder import Here
from holdfast.runtime.inventory import Inventory, read_manifests
from holdfast.runtime.journal import Slot, TrainingCall, journal_from_dict
from holdfast.runtime.manifest import Manifest, Part, TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import Store


def describe_run(
    folder: Store,
    here: Here,
    inventory: Inventory,
    reached: Callable[[int, int], None],
    seen: Callable[[Manifest], None] = lambda _: None,
) -> dict[str, Any]:
    """A run as JSON.

    Args:
        folder: Its folder in the store.
        here: The run as this machine knows it.
        inventory: What lies there.
        reached: Told how many bytes of manifests are read, and of how many.
        seen: Told each manifest that can be read, newest first.
    """
    total, done = sum(inventory.manifests.values()), 0

    def read(count: int) -> None:
        nonlocal done
        done += count
        reached(done, total)

    checkpoints: list[dict[str, Any]] = []
    needs: dict[str, frozenset[str]] = {}
    slots: list[dict[str, Any]] | None = None
    for stem, manifest in read_manifests(Shelf("store", folder), inventory.manifests, read):
        if isinstance(manifest, FormatInvalid):
            checkpoints.append(_checkpoint(stem, damage=str(manifest)))
            continue
        seen(manifest)
        needs[str(stem)] = frozenset(name for one in manifest.tensors for name, _, _ in one.places)
        missing = sorted(needs[str(stem)] - inventory.objects.keys())
        damage = f"object {missing[0]} is missing" if missing else None
        checkpoints.append(_checkpoint(stem, manifest, damage=damage))
        if slots is None:
            slots = [_slot(slot) for slot in journal_from_dict(manifest.journal).slots]
    users = Counter(name for names in needs.values() for name in names)
    for one in checkpoints:
        alone = [name for name in needs.get(one["checkpoint"], ()) if users[name] == 1]
        one["own_bytes"] = sum(inventory.objects.get(name, 0) for name in alone)
    return {
        "run": here.run,
        "object_bytes": inventory.object_bytes,
        "sessions": list(_sessions(folder, here, inventory)),
        "checkpoints": checkpoints,
        "slots": slots or [],
    }


def _checkpoint(stem: Stem, manifest: Manifest | None = None, *, damage: str | None) -> dict[str, Any]:
    return {
        "checkpoint": str(stem),
        "kind": manifest.kind if manifest else None,
        "taken_at": manifest.taken_at if manifest else None,
        "slots": list(manifest.slots) if manifest else [],
        "tensors": len(manifest.tensors) if manifest else None,
        "tensor_bytes": manifest.nbytes if manifest else None,
        "damage": damage,
    }


def _sessions(folder: Store, here: Here, inventory: Inventory) -> Iterator[dict[str, Any]]:
    newest = max(inventory.claims, default=None)
    keys = ("session", "incarnation", "claimed_at", "pid", "life", "machine", "before", "by", "damage")
    for name in sorted(inventory.claims, reverse=True):
        known: dict[str, Any] = dict.fromkeys(keys)
        try:
            claim = claims.read_claim(folder, name, inventory.claims[name])
        except FormatInvalid as error:
            yield {"claim": name, **known, "damage": str(error)}
            continue
        except ObjectNotFound:  # deleted since
            continue
        yield {
            "claim": name,
            **known,
            "session": claim.session,
            "incarnation": claim.incarnation,
            "claimed_at": claim.claimed_at,
            "pid": claim.process.pid,
            "life": here.life_of(claim) if name == newest else "superseded",
            "machine": hashlib.sha256(claim.machine.encode(errors="replace")).hexdigest()[:8],
            "before": claim.before._asdict() if claim.before else None,
            "by": claim.by,
        }


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "slot": slot.name,
        "fingerprint": slot.fingerprint,
        "structure": list(slot.structure),
        "cell": slot.place.cell,
        "ordinal": slot.place.ordinal,
        "newest": str(slot.newest) if slot.newest else None,
        "retired": bool(slot.retired),
        "calls": [_call(slot.first_call + place, call) for place, call in enumerate(slot.calls)],
    }


def _call(number: int, call: TrainingCall) -> dict[str, Any]:
    return {
        "call": number,
        "epochs_done": call.completed,
        "epochs_asked": call.requested,
        "status": call.status,
        "stopped_early": call.stopped_early,
        "milestone": str(call.milestone) if call.milestone else None,
    }


def describe_checkpoint(folder: Store, stem: Stem) -> dict[str, Any]:
    """A checkpoint as JSON.

    Raises:
        CommandFailed: There is no such checkpoint.
        CheckpointDamaged: It does not open.
    """
    try:
        manifest = open_checkpoint(Shelf("store", folder), stem)[0].manifest
    except ObjectNotFound:
        raise CommandFailed(
            ExitCode.NOT_FOUND,
            f"There is no checkpoint {stem}",
            where=folder.url,
            hint="See: holdfast show RUN",
        ) from None
    parts = [manifest.part(slot) for slot in manifest.slots]
    return {
        "run": manifest.run,
        "checkpoint": str(stem),
        "kind": manifest.kind,
        "taken_at": manifest.taken_at,
        "slots": list(manifest.slots),
        "tensor_bytes": manifest.nbytes,
        "states": [state_summary(part) for part in parts],
        "tensors": [_tensor(record, part) for part in parts for record in part.tensors.values()],
    }


def state_summary(part: Part) -> dict[str, Any]:
    """What of a slot's Python state people ask for; each None where the state does not say."""
    state, position = part.state, part.state.get("position")
    position = position if isinstance(position, dict) else {}
    logs = state.get("logs")
    architecture = state.get("architecture")
    return {
        "slot": part.slot,
        "call": state.get("call"),
        "phase": position.get("phase"),
        "epoch": position.get("epoch"),
        "batch": position.get("executions"),
        "logs": logs if isinstance(logs, dict) else None,
        "architecture": isinstance(architecture, dict) and "model" in architecture,
    }


def _tensor(record: TensorRecord, part: Part) -> dict[str, Any]:
    labels = part.state.get("labels")
    label = labels.get(record.spec.name) if isinstance(labels, dict) else None
    return {
        "slot": part.slot,
        "name": record.spec.name,
        "label": label if isinstance(label, str) else None,
        "dtype": record.spec.dtype,
        "shape": list(record.spec.shape),
        "bytes": record.spec.nbytes,
        "object": record.object,
        "patches": len(record.patches),
    }
