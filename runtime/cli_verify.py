"""``holdfast verify``: reads everything, names each damage, and removes what is damaged if asked to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.runtime import report
from holdfast.runtime.cli_common import (
    JsonOption,
    Place,
    StoreOption,
    YesOption,
    ask,
    ask_holder,
    bar,
    emit,
    line,
)
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.names import object_path
from holdfast.runtime.repair import Repair, carry_out, plan
from holdfast.runtime.verification import Findings
from holdfast.runtime.verification import verify as read_through


def verify(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Name of the run; by default all of the store's.")
    ] = None,
    store: StoreOption = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Claims the run, and deletes damaged checkpoints and what no sound one needs."
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reads every byte that a checkpoint needs, and says what is damaged. Changes nothing without --repair."""
    if repair and run is None:
        raise CommandFailed(
            ExitCode.USAGE, "A repair wants the name of a run", hint="holdfast verify RUN --repair"
        )
    place = Place(store)
    if run is not None:
        place.run(run)
    documents = []
    healthy = True
    for name in [run] if run is not None else place.run_names():
        with bar(f"verifying {name}", quiet=as_json) as reached:
            found = read_through(place.top, name, reached)
        if not as_json:
            _print(found)
        done = _repair(place, found, yes=yes, as_json=as_json) if repair and found.damages else None
        found, what = done or (found, None)
        healthy = healthy and not found.damages
        documents.append({**as_document(found), "repair": what})
    if as_json:
        emit({"store": place.url, "runs": documents})
    if not healthy:
        raise typer.Exit(ExitCode.DAMAGE)


def _repair(
    place: Place, found: Findings, *, yes: bool, as_json: bool
) -> tuple[Findings, dict[str, Any]] | None:
    """Repairs a run, if anything can be done about it and the user wants it.

    Returns:
        What the run is like then, and what was done, as JSON; None where there is nothing to be done.
    """
    store, here = place.top.under(found.run), place.here(found.run)
    holder = here.holder_of(store)
    incarnation = holder.claim.incarnation + 1 if holder.claim else 1
    intended = plan(found, incarnation, spare=not yes)
    for stem in intended.spared:
        report.say(f"checkpoint {stem} is the only one of a slot and is kept; to have it deleted too: --yes")
    if not intended:
        return None
    ask_holder(holder, yes=yes)
    ask(f"To be deleted from run {found.run!r}: {described(intended)}", yes=yes)
    claim = here.claim(store)
    with bar(f"verifying {found.run} again", quiet=as_json) as reached:
        again = read_through(place.top, found.run, reached, before=found)
    final = plan(again, claim.incarnation, spare=not yes, among=set(intended.checkpoints))
    carry_out(store, final, claim)
    with bar(f"verifying {found.run} again", quiet=as_json) as reached:
        after = read_through(place.top, found.run, reached, before=again)
    if not as_json:
        line(f"deleted: {described(final)}; this took the claim {claim.incarnation}")
        line(_standing(after))
    return after, {
        "incarnation": claim.incarnation,
        "checkpoints": [str(stem) for stem in final.checkpoints],
        "objects": [object_path(name) for name in final.objects],
        "claims": list(final.claims),
        "bytes_freed": final.bytes_freed,
        "spared": [str(stem) for stem in final.spared],
    }


def described(repair: Repair) -> str:
    """What a repair deletes, in words."""
    parts = []
    if repair.checkpoints:
        names = ", ".join(map(str, repair.checkpoints))
        parts.append(f"the damaged checkpoint{'s' if len(repair.checkpoints) > 1 else ''} {names}")
    if repair.objects:
        parts.append(f"{len(repair.objects)} objects ({report.size(repair.bytes_freed)}) that none needs then")
    if repair.claims:
        parts.append(f"the damaged claims {', '.join(repair.claims)}")
    return ", and ".join(parts)


def as_document(found: Findings) -> dict[str, Any]:
    """What was found, as JSON."""
    return {
        "run": found.run,
        "checkpoints": len(found.inventory.manifests),
        "newest_sound": str(found.sound[0]) if found.sound else None,
        "bytes_read": found.bytes_read,
        "damages": [
            {
                "subject": damage.subject,
                "name": damage.name,
                "what": damage.what,
                "checkpoints": [str(stem) for stem in damage.checkpoints],
            }
            for damage in found.damages
        ],
        "remarks": [{"name": remark.name, "what": remark.what} for remark in found.remarks],
    }


def _print(found: Findings) -> None:
    line(
        f"run {found.run}: read {report.size(found.bytes_read)} of {len(found.inventory.manifests)} checkpoints"
    )
    for damage in found.damages:
        line(f"  damaged: {damage.name}: {damage.what}")
        if damage.checkpoints:
            line(f"           lost with it: {', '.join(map(str, damage.checkpoints))}")
    for remark in found.remarks:
        line(f"  remark: {remark.name}: {remark.what}")
    line(f"  {_standing(found)}")


def _standing(found: Findings) -> str:
    if not found.inventory.manifests:
        return "it has no checkpoint"
    lost = len(found.damaged)
    state = (
        f"{lost} of {len(found.inventory.manifests)} checkpoints damaged"
        if lost
        else "all checkpoints are sound"
    )
    return f"{state}; the newest sound one is {found.sound[0]}" if found.sound else f"{state}; none is sound"
