"""One tree of errors. Each message has what failed, where, and what to do next."""

from __future__ import annotations


class HoldfastError(Exception):
    """Root of every error that Holdfast raises on purpose.

    Args:
        what: What failed, as a sentence without its full stop.
        where: The file, URL or key it concerns.
        hint: What to do next, best a command to type.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        text = what if where is None else f"{what} [{where}]"
        super().__init__(text if hint is None else f"{text}. {hint}")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: no frames of ours, the message is what helps."""
        return [f"{type(self).__name__}: {self}"]


class SettingsInvalid(HoldfastError):
    """A setting is unknown, of the wrong type, or out of range."""


class StoreUnusable(HoldfastError):
    """The store URL is not understood, or nothing can be written there."""


class StoreError(HoldfastError):
    """A store's operation failed."""


class ObjectNotFound(StoreError):
    """The named object is not in the store."""


class ObjectExists(StoreError):
    """An object of that name is there already; nothing in a store is overwritten."""


class StoreUnavailable(StoreError):
    """The store did not answer; it may at the next try."""


class StoreRefused(StoreError):
    """The store answers that it will not: no permission, no room, no bucket. Waiting alone does not help."""


class FormatInvalid(HoldfastError):
    """Bytes that claim to be a manifest, an object or a claim, and are not."""


class FormatUnknown(FormatInvalid):
    """Bytes of a format that a newer Holdfast may know."""


class CheckpointDamaged(HoldfastError):
    """A checkpoint whose tensors do not have the bytes that its manifest promises."""

    def __init__(self, what: str, *, stem: str, origin: str, where: str | None = None) -> None:
        self.stem, self.origin = stem, origin
        super().__init__(what, where=where, hint="The next older checkpoint is used")


class SpoolFull(HoldfastError):
    """The local disk has no room for a snapshot."""


class SlotNotFound(HoldfastError):
    """The run has no slot of that name, or none of that model."""


class ClaimLost(HoldfastError):
    """A newer session has claimed the run; this one writes no more."""


class RestoreFailed(HoldfastError):
    """A checkpoint is sound, but does not fit what it was to be put into."""


class DaemonUnavailable(HoldfastError):
    """The daemon does not run and could not be started, or did not answer."""
