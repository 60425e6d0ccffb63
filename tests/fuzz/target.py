"""Coverage-guided fuzzing of what reads a store: ``python tests/fuzz/target.py NAME [libFuzzer options]``.

Whatever the bytes, only the project's own errors may come out, with no more memory than MEMORY_BYTES.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["holdfast"]):
    from holdfast.runtime.claims import claim_from_bytes
    from holdfast.runtime.errors import FormatInvalid, HoldfastError
    from holdfast.runtime.journal import journal_from_dict
    from holdfast.runtime.manifest import INDEX_BYTES, Manifest, Patch, TensorRecord, manifest_from_bytes
    from holdfast.runtime.names import Stem, object_path, parse_object_name
    from holdfast.runtime.objects import TensorSpec, decode_header, encode_header
    from holdfast.runtime.reading import fill
    from holdfast.runtime.shelf import Shelf
    from holdfast.runtime.stores import FolderStore, locate

MEMORY_BYTES = 512 << 20
"""Of address space; the interpreter and the fuzzer take 80 MB of it. libFuzzer's own limit counts what the
process was that started this one."""

STEM = Stem(1, 1, "aaaaaaaa")


class OneObject(FolderStore):
    """A store that is all one object, in memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Path("/nowhere"))
        self.data = data

    def read_into(self, name: str, offset: int, buffer: memoryview) -> None:
        found = self.data[offset : offset + len(buffer)]
        if len(found) < len(buffer):
            raise FormatInvalid("Too short", where=name)
        buffer[:] = found


def manifest(data: bytes) -> None:
    """A manifest with its journal."""
    journal_from_dict(manifest_from_bytes(data, name=STEM.manifest_name).journal)


def claim(data: bytes) -> None:
    """A claim."""
    claim_from_bytes(data, name="00000001-aaaaaaaa.json")


def header(data: bytes) -> None:
    """An object's header, in a file of that size."""
    for spec, offset in decode_header(data, len(data)).values():
        assert 0 <= offset <= offset + spec.nbytes <= len(data)


def name(data: bytes) -> None:
    """The name of an object: none leads elsewhere."""
    text = data.decode(errors="surrogateescape")
    parse_object_name(text)
    assert ".." not in object_path(text)
    assert object_path(text).count("/") == 3


def url(data: bytes) -> None:
    """A store's URL: one spelling for each place."""
    location = locate(data.decode(errors="surrogateescape"))
    assert locate(location.url) == location


def patch(data: bytes) -> None:
    """The changed rows of a tensor, laid over it."""
    spec = TensorSpec("t", "U8", (64, 4))
    rows = max(1, len(data) - 4 * INDEX_BYTES)
    record = TensorRecord(
        spec, STEM.object_name(), 0, "0" * 32, (Patch(STEM.object_name(), 256, 272, 4, 3, rows),)
    )
    shelf = Shelf("store", OneObject(bytes(256) + data))
    fill(shelf, [(record, memoryview(bytearray(256)))], lambda what, _: HoldfastError(what))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": manifest,
    "claim": claim,
    "header": header,
    "name": name,
    "url": url,
    "patch": patch,
}


def seeds(target: str) -> list[bytes]:
    """Sound inputs to begin with."""
    spec = TensorSpec("model/x", "F32", (2, 3))
    match target:
        case "manifest":
            changed = Patch(STEM.object_name(), 100, 200, 1, 1, 12)
            record = TensorRecord(spec, STEM.object_name(), 0, "0" * 32, (changed,))
            call = {"definition": 0, "requested": 1, "completed": 1, "status": "done", "stopped_early": False}
            slot = {
                "name": "slot-0000",
                "fingerprint": "f",
                "structure": 0,
                "place": ["cell", 0],
                "newest": str(STEM),
                "first_call": 0,
                "retired": False,
                "early": [],
                "calls": [call | {"milestone": str(STEM)}],
            }
            made = Manifest(
                "run",
                STEM,
                1.0,
                "milestone",
                ("slot-0000",),
                (record,),
                {"slots": [slot], "structures": [["Dense"]], "definitions": [{}]},
            )
            return [made.to_bytes()]
        case "claim":
            value = {"format": 1, "incarnation": 1, "session": "aaaaaaaa", "machine": "m", "pid": 1}
            return [json.dumps(value | {"started": 1.0, "claimed_at": 2.0}).encode()]
        case "header":
            data, _ = encode_header([spec])
            return [data + bytes(24)]
        case "name":
            return [STEM.object_name(2, 3).encode()]
        case "url":
            return [b"gs://bucket/a%20b", b"file:///a/b", b"drive:a/b", b"drive-api:a"]
        case _:
            return [bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0]) + bytes(48)]


def main() -> None:
    """Runs one target."""
    target = TARGETS[sys.argv[1]]

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except HoldfastError:
            pass

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(sys.argv[1])):
            one_input(seed)
            (Path(corpus) / str(number)).write_bytes(seed)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        atheris.Setup([sys.argv[0], corpus, "-rss_limit_mb=0", *sys.argv[2:]], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
