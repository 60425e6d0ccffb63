"""How checkpoints and their files are called. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from holdfast.runtime.errors import FormatInvalid, SettingsInvalid

MANIFESTS: Final = "manifests"
OBJECTS: Final = "objects"
MANIFEST_SUFFIX: Final = ".json"
OBJECT_SUFFIX: Final = ".safetensors"

GROUP: Final = 1000
"""Checkpoints of one incarnation that share a folder: a page of a listing, for stores that list in pages."""

_STEM: Final = re.compile(r"(\d{8,12})-(\d{6,12})-([0-9a-f]{8})", re.ASCII)
_OBJECT: Final = re.compile(r"(.{24,34}?)(?:-part\d{1,3})?(?:-try\d{1,3})?\.safetensors", re.ASCII)
_RUN_NAME: Final = re.compile(r"[\w][\w .()+=@-]{0,99}")


def check_run_name(name: str) -> str:
    """Makes sure that a run's name can be a folder's name in every store.

    Raises:
        SettingsInvalid: It cannot.
    """
    if _RUN_NAME.fullmatch(name) and name == name.strip():
        return name
    hint = "Use up to 100 letters, digits, spaces and . _ - ( ) + = @, beginning with a letter or digit"
    raise SettingsInvalid(f"{name[:120]!r} cannot name a run", hint=hint)


class Stem(NamedTuple):
    """What names a checkpoint: greater is newer.

    The session's name is part of it, so that two sessions which won the same incarnation on a
    file system without create-if-absent still never write under one name.
    """

    incarnation: int
    sequence: int
    session: str

    def __str__(self) -> str:
        return f"{self.incarnation:08d}-{self.sequence:06d}-{self.session}"

    @property
    def folder(self) -> str:
        """The folder that its files share with those of its neighbours in a store."""
        return f"{self.incarnation:08d}/{self.sequence // GROUP:03d}"

    def object_name(self, part: int = 0, attempt: int = 0) -> str:
        """The file name of an object that this checkpoint writes.

        Args:
            part: Counts the objects of a large checkpoint.
            attempt: Counts uploads that broke off after their object: no name is used twice.
        """
        words = [str(self), *([f"part{part}"] if part else []), *([f"try{attempt}"] if attempt else [])]
        return "-".join(words) + OBJECT_SUFFIX

    @property
    def manifest_name(self) -> str:
        """The file name of this checkpoint's manifest."""
        return f"{self}{MANIFEST_SUFFIX}"

    @property
    def manifest_path(self) -> str:
        """The manifest's name in a run's folder in the store."""
        return f"{MANIFESTS}/{self.folder}/{self.manifest_name}"


def parse_stem(text: str) -> Stem:
    """Reads a stem from its text, or from the name of a manifest.

    Raises:
        FormatInvalid: It is neither.
    """
    match = _STEM.fullmatch(text.removesuffix(MANIFEST_SUFFIX))
    if match is None:
        raise FormatInvalid("Not the name of a checkpoint", where=repr(text[:80]))
    return Stem(int(match[1]), int(match[2]), match[3])


def parse_object_name(text: str) -> Stem:
    """The checkpoint that wrote the object of that name.

    Raises:
        FormatInvalid: It is not the name of an object.
    """
    match = _OBJECT.fullmatch(text)
    if match is None:
        raise FormatInvalid("Not the name of an object", where=repr(text[:80]))
    return parse_stem(match[1])


def object_path(name: str) -> str:
    """The name of an object in a run's folder in the store.

    Raises:
        FormatInvalid: It is not the name of an object.
    """
    return f"{OBJECTS}/{parse_object_name(name).folder}/{name}"
