"""How long a step takes undisturbed, and what snapshots and uploads really cost. Pure: given the time.

What passes between two ends of steps goes into a bucket. Buckets in which no snapshot was in the making and no
upload under way tell how long a step takes; by how much the others exceed that is what these cost, beside the
time for which a snapshot stops the training. One such excess is lost in the noise of the steps, so the estimate
is a median of several, less its own standard error: a machine whose steps scatter has no cost by that alone.

`step_ended` is on the training thread and only counts; whatever is computed is computed in `look`.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from holdfast.runtime.pace_samples import Costs, Quiet, Sample

BUCKET_SECONDS: Final = 0.25
"""Of steps, in a bucket: long beside a clock's error and most pauses, short beside a snapshot's interval."""

LONG_BUCKET: Final = 30.0
"""Seconds from the beginning of a bucket of short steps to its end, above which it tells nothing any more."""

KEPT_BUCKETS: Final = 4096
"""Buckets that wait for the next look; one comes each second."""

SAME_SECONDS: Final = 0.05
"""Two times that differ by less are one: they come from another clock."""

LONG_CALL: Final = 5.0
"""Seconds of steps after which a call's steps are taken to differ from those of the call before."""


HICCUP: Final = 10.0
"""Another process slows steps down and does not stop them: a bucket that takes more than so many times as long
as it should has something else in it, an evaluation or a save, and counts for an upload with so much only."""


@dataclass(slots=True)
class Excess:
    """By how much some buckets exceed the same steps undisturbed.

    Attributes:
        seconds: By so much.
        counted: Of so many seconds.
        unknown: Whether there was nothing to compare one with.
    """

    seconds: float = 0.0
    counted: float = 0.0
    unknown: bool = False
    _variance: float = 0.0
    _buckets: int = 0
    _reference: int = 1

    def add(self, bucket: Bucket, quiet: Quiet, *, hiccup: float = math.inf) -> None:
        """Adds a bucket, as compared with undisturbed ones; at most so many times as long as they are."""
        if not quiet.known:
            self.unknown = True
            return
        undisturbed = bucket.steps * quiet.rate
        self.seconds += min(bucket.seconds - undisturbed, hiccup * max(undisturbed, BUCKET_SECONDS))
        self.counted += bucket.seconds
        self._variance += quiet.variance
        self._buckets, self._reference = self._buckets + 1, quiet.count

    @property
    def noise(self) -> float:
        """Its standard deviation, by the scatter of the steps and the error of what they are compared with."""
        return math.sqrt(self._variance * (1 + self._buckets / self._reference))


@dataclass(slots=True)
class Window:
    """One snapshot, from its beginning until the bucket that follows its end is full.

    Attributes:
        ended: When the step ended before it; None where that is not known, and nothing is measured.
        nbytes: Of its tensors.
        begun: When its writing began.
        handed: When the training went on.
        over: When it was written; None before.
        failed: Whether it could not be written.
        excess: By how much its steps took longer.
    """

    ended: float | None
    nbytes: int
    begun: float
    handed: float = 0.0
    over: float | None = None
    failed: bool = False
    excess: Excess = field(default_factory=Excess)

    @property
    def stall(self) -> float:
        """Seconds for which it stopped the training."""
        return max(0.0, self.handed - self.ended) if self.ended is not None else 0.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Some steps.

    Attributes:
        opened: When the first began.
        closed: When the last ended.
        steps: How many.
        seconds: That they took, without what is not counted.
        window: The snapshot that was in the making; None where there was none.
        last: Whether it is that snapshot's last.
    """

    opened: float
    closed: float
    steps: int
    seconds: float
    window: Window | None
    last: bool = False


@dataclass(slots=True)
class Upload:
    """One upload: when it began and ended, and by how much the steps took longer that were counted to it."""

    begun: float
    over: float | None = None
    excess: Excess = field(default_factory=Excess)


@dataclass(slots=True)
class Pace:
    """Measures one process's trainings.

    Attributes:
        costs: What is known of the costs.
        trained: Seconds of steps, and of what stopped them, so far.
        spent: Of these the seconds that snapshots and uploads took, as far as that was measured.
    """

    costs: Costs = field(default_factory=Costs)
    trained: float = 0.0
    spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _from: float | None = None
    _opened: float = 0.0
    _steps: int = 0
    _seconds: float = 0.0
    _epoch_steps: int = 0
    _call_seconds: float = 0.0
    _window: Window | None = None
    _closed: deque[Bucket | None] = field(default_factory=lambda: deque(maxlen=KEPT_BUCKETS))
    _quiet: dict[bool, Quiet] = field(default_factory=lambda: {False: Quiet(), True: Quiet()})
    _counted_from: float = float("-inf")
    _uploads: deque[Upload] = field(default_factory=lambda: deque(maxlen=8))

    # --- on the training thread ---------------------------------------------------------------

    def step_ended(self, now: float) -> None:
        """Counts a step.

        Args:
            now: Time in seconds, of any steady clock; the same for all methods.
        """
        # Without the lock but where a bucket is full: with trainings in several threads a step may be counted
        # wrong then, and this is called at every step.
        began, self._from = self._from, now
        self._epoch_steps += 1
        if began is None or now < began:
            return
        if not self._steps:
            self._opened = began
        self._steps += 1
        self._seconds = seconds = self._seconds + now - began
        if seconds >= BUCKET_SECONDS:
            with self._lock:
                self._close(now)

    def epoch_ended(self, now: float) -> None:
        """An epoch's last step has ended before, with a validation perhaps: until the next step's end nothing
        is counted, unless epochs have one step each.
        """
        with self._lock:
            self._from = now if self._epoch_steps <= 1 else None
            self._epoch_steps = 0

    def paused(self) -> None:
        """Until the next step's end nothing is counted: another training call, or another cell."""
        with self._lock:
            self._from, self._epoch_steps = None, 0
            if self._call_seconds + self._seconds > LONG_CALL:
                self._forget_steps()

    def snapshot_begun(self, now: float, ended: float | None, nbytes: int) -> Window:
        """A snapshot is about to be handed to the writer, which may be busy with the one before.

        Args:
            now: The time.
            ended: When the step ended after which the training stands still for it; None where not known.
            nbytes: Of its tensors.

        Returns:
            What `snapshot_over` wants.
        """
        with self._lock:
            self._close(now if ended is None else ended)
            if self._window is not None:
                self._give_up(self._window)
            self._window = window = Window(ended, nbytes, now)
        return window

    def snapshot_handed(self, now: float) -> None:
        """It was: the training goes on."""
        with self._lock:
            self._from = now if self._from is not None else None
            window = self._window
            if window is not None:
                window.handed = now
                self.trained += window.stall

    # --- on others -----------------------------------------------------------------------------

    def snapshot_over(self, window: Window, now: float, *, written: bool) -> None:
        """The writer is done with one."""
        with self._lock:
            window.over = now
            window.failed |= not written

    def upload(self, begun: float, over: float | None) -> None:
        """An upload began, or ended: each is told as soon as it is known, any number of times.

        Args:
            begun: When it began.
            over: When it ended; None where it has not.
        """
        known = next((one for one in self._uploads if abs(one.begun - begun) < SAME_SECONDS), None)
        if known is None:
            if self._uploads and begun < self._uploads[-1].begun:
                return
            self.no_upload(begun)
            known = Upload(begun)
            self._uploads.append(known)
        if over is not None and known.over is None:
            known.over = max(over, begun)

    def no_upload(self, now: float) -> None:
        """No upload is under way: one that was is over, nobody knows since when."""
        for one in self._uploads:
            if one.over is None:
                one.over, one.excess.unknown = now, True

    def look(self, until: float) -> None:
        """Takes into account what was counted up to a time; up to then all uploads are known."""
        with self._lock:
            ready: list[Bucket | None] = []
            while self._closed and ((bucket := self._closed[0]) is None or bucket.closed <= until):
                ready.append(self._closed.popleft())
        for bucket in ready:
            if bucket is None:
                self._quiet = {False: Quiet(), True: Quiet()}
                continue
            self._count(bucket)
        # A long step that began before an upload's end is still to come.
        while self._uploads and (over := self._uploads[0].over) is not None and over <= self._counted_from:
            self._upload_over(self._uploads.popleft(), over)

    @property
    def step_seconds(self) -> float:
        """How long a step takes undisturbed; 0 where that is not known."""
        return self._quiet[False].rate or self._quiet[True].rate

    # --- buckets -------------------------------------------------------------------------------

    def _close(self, now: float) -> None:
        if not self._steps:
            return
        window, last = self._window, False
        if window is not None and window.over is not None and self._opened >= window.over:
            self._window, last = None, True
        bucket = Bucket(self._opened, now, self._steps, self._seconds, window, last)
        self._closed.append(bucket)
        self.trained += self._seconds
        self._call_seconds += self._seconds
        self._steps, self._seconds = 0, 0.0

    def _forget_steps(self) -> None:
        self._call_seconds, self._steps, self._seconds = 0.0, 0, 0.0
        self._closed.append(None)
        if self._window is not None and self._window.over is not None:
            self._give_up(self._window)
            self._window = None

    def _give_up(self, window: Window) -> None:
        """Its last bucket does not come: what it has so far counts."""
        self._closed.append(Bucket(window.begun, window.begun, 0, 0.0, window, last=True))

    def _count(self, bucket: Bucket) -> None:
        upload = next((one for one in reversed(self._uploads) if _overlap(bucket, one)), None)
        quiet, window = self._quiet[upload is not None], bucket.window
        self._counted_from = bucket.opened
        if window is not None:
            if bucket.steps:
                window.excess.add(bucket, quiet)
            if bucket.last:
                self._snapshot_over(window)
            return
        if bucket.seconds >= BUCKET_SECONDS and bucket.closed - bucket.opened < max(
            LONG_BUCKET, 2 * bucket.seconds
        ):
            quiet.add(bucket.steps, bucket.seconds)
        if upload is not None:
            upload.excess.add(bucket, self._quiet[False], hiccup=HICCUP)

    def _snapshot_over(self, window: Window) -> None:
        if window.failed or window.over is None or window.ended is None:
            return
        took, excess = window.over - window.begun, window.excess
        if excess.unknown or not excess.counted:
            at_worst = max(0.0, window.over - window.handed)
            self.costs.add_snapshot(Sample(window.stall, at_worst, window.nbytes, took, 0.0, measured=False))
            self.spent += window.stall
            return
        # While it is written training can at worst stand still, and what it leaves behind costs no more again.
        limit = 2 * took + BUCKET_SECONDS / 5
        seconds = min(max(excess.seconds, -limit), limit)
        self.costs.add_snapshot(Sample(window.stall, seconds, window.nbytes, took, min(excess.noise, limit)))
        self.spent += window.stall + seconds

    def _upload_over(self, upload: Upload, over: float) -> None:
        took = over - upload.begun
        if upload.excess.unknown or not upload.excess.counted:
            return
        # Where snapshots were in the making meanwhile, it costs what it costs elsewhere.
        scale = max(1.0, took / upload.excess.counted)
        limit = took + BUCKET_SECONDS
        excess = min(max(upload.excess.seconds * scale, -limit), limit)
        self.costs.add_upload(excess, took, min(upload.excess.noise * scale, limit))
        self.spent += excess


def _overlap(bucket: Bucket, upload: Upload) -> bool:
    return bucket.closed > upload.begun and (upload.over is None or bucket.opened < upload.over)
