"""A process that claims a run once a file appears: ``python -m helpers.claimant STORE GO SESSION``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from holdfast.runtime.claims import make_claim
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.stores.folder import FolderStore


def main(store: str, go: str, session: str) -> None:
    """Says that it is ready, waits for the file, claims, and prints the incarnation."""
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.0005)
    claim = make_claim(FolderStore(Path(store)), session, "machine", ProcessId.own(), time.time())
    print(claim.incarnation, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
