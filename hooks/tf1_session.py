"""The patches on TF1's sessions: variables restored once their initializer has run, saved between runs.

No op is ever added to the user's graph: seeds of ops depend on how many there are, and graphs may be finalized.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from holdfast.hooks import tf1_variables
from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.tf1_call import SessionCall
from holdfast.hooks.tf1_effects import Effect, effect_of
from holdfast.hooks.tf1_followed import Followed, Sessions
from holdfast.hooks.tracking import Tracker

MAX_EFFECTS: Final = 500
"""Sets of fetches that are looked into, in one session; a program that makes new ops at every step has no
end of them, and all of its further runs are taken to change every variable."""


def install(tracker: Tracker) -> None:
    """Patches TF1's sessions. TensorFlow must be imported."""
    from tensorflow.python.client.session import BaseSession, Session

    sessions = Sessions(tracker)
    hooks = SessionHooks(sessions)
    patch(BaseSession, "_do_run", hooks.do_run)
    patch(BaseSession, "close", hooks.close)
    patch(BaseSession, "__del__", hooks.deleted)
    patch(Session, "__exit__", hooks.left)
    tracker.at_cell_end(sessions.cell_ended)
    tracker.saving.companions.append(sessions)


class SessionHooks:
    """Makes the wrappers. Each calls the original once; what is ours goes through the guard."""

    def __init__(self, sessions: Sessions) -> None:
        self.tracker, self._sessions = sessions.tracker, sessions

    # --- the wrappers -----------------------------------------------------------------------

    def do_run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What `run` comes down to, once its arguments are understood."""
        before, after, failed = guarded(self._before), guarded(self._after), guarded(self._failed)

        def wrapper(
            session: Any, handle: Any, targets: Sequence[Any], fetches: Sequence[Any], feeds: Any, *more: Any
        ) -> Any:
            running = before(session, handle, targets, fetches, feeds)
            if running is None:
                return original(session, handle, targets, fetches, feeds, *more)
            try:
                result = original(session, handle, targets, fetches, feeds, *more)
            except Exception as error:
                failed(running, error)
                raise
            after(session, running)
            return result

        return wrapper

    def close(self, original: Callable[..., None]) -> Callable[..., None]:
        """`close`, which `with` and the end of the object come down to as well."""
        ending = guarded(self._sessions.ending)

        def wrapper(session: Any) -> None:
            ending(session, sys.exception())
            original(session)

        return wrapper

    def left(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The end of a ``with`` block, which closes the session in another thread where there was an error."""
        ending = guarded(self._sessions.ending)

        def wrapper(session: Any, kind: Any, error: Any, trace: Any) -> Any:
            if error is not None:
                ending(session, error)
            return original(session, kind, error, trace)

        return wrapper

    def deleted(self, original: Callable[..., None]) -> Callable[..., None]:
        """The end of the object, which closes the session, perhaps in the midst of anything."""

        def wrapper(session: Any) -> None:
            self._sessions.own.deleting = True
            try:
                original(session)
            finally:
                self._sessions.own.deleting = False

        return wrapper

    # --- around a run -----------------------------------------------------------------------

    def _before(
        self, session: Any, handle: Any, targets: Sequence[Any], fetches: Sequence[Any], feeds: Any
    ) -> tuple[Followed, Effect] | None:
        if self._sessions.own.running or not self.tracker.session.active or session._target:
            return None
        followed = self._sessions.follow(session)
        if handle is not None:  # a part of a run, which has read its variables when that was set up
            followed.late = True
            return None
        key = (*map(id, targets), -1, *map(id, fetches))
        effect = followed.effects.get(key) or self._effect(session, followed, key, targets, fetches)
        if not effect.touched:
            return None
        call = followed.call
        if call is None or not call.begun or id(effect) not in call.settled:
            with self._sessions.ours():
                if effect.sets_up:
                    self._set_up(session, followed, effect, feeds)
                else:
                    self._use(session, followed, effect)
        if effect.writes and followed.call is not None:
            followed.call.unsaved, followed.call.amid_item = True, self._sessions.in_loop()
        return followed, effect

    @staticmethod
    def _effect(
        session: Any, followed: Followed, key: tuple[int, ...], targets: Sequence[Any], fetches: Sequence[Any]
    ) -> Effect:
        call = followed.call
        if len(followed.effects) >= MAX_EFFECTS and call is not None and call.begun:
            return Effect(call.names, call.names, frozenset(), frozenset(), call.names, restores=False)
        effect = followed.effects[key] = _analyse(session.graph, targets, fetches)
        return effect

    def _after(self, session: Any, running: tuple[Followed, Effect]) -> None:
        followed, effect = running
        call = followed.call
        if effect.overwritten:
            followed.initialised |= effect.overwritten
        if call is None or not call.begun:
            if not effect.touched <= followed.initialised:
                followed.initialised |= effect.touched  # it ran, so they had values before we came
                followed.late = True
            return
        if not effect.writes:
            return
        followed.failure = None
        if call.amid_item:
            return  # the loop saves it, between two items
        due = self.tracker.saving.step_ended()
        if self.tracker.take_request():
            self._sessions.save(session, call, "requested")
        elif due:
            self._sessions.save(session, call, "scheduled")

    @staticmethod
    def _failed(running: tuple[Followed, Effect], error: Exception) -> None:
        """A run failed in its midst: some variables may have been written, others not."""
        from tensorflow.python.framework import errors

        followed, effect = running
        # Where the data are at their end, nothing has been made from them.
        if effect.writes and not isinstance(error, errors.OutOfRangeError):
            followed.failure = weakref.ref(error)

    def _set_up(self, session: Any, followed: Followed, effect: Effect, feeds: Any) -> None:
        """Before an initialization, or a restore of the user's own."""
        call = followed.call
        if call is not None and call.names <= effect.initialised:
            call.end(session, self._sessions.used)  # all begins anew: another training
            followed.call = None
        elif call is not None and call.begun:
            call.settled.add(id(effect))
            return
        elif call is not None:
            call.restored = followed.late
        followed.saver_at = _saved_at(feeds) if effect.restores else None

    def _use(self, session: Any, followed: Followed, effect: Effect) -> None:
        """Before any other run that uses variables."""
        call = followed.call
        if not effect.touched <= followed.initialised:
            return  # it fails, or they had values before we came
        if call is not None and call.begun:
            if effect.updated <= call.names:
                call.settled.add(id(effect))
                return
            call.end(session, self._sessions.used)  # more variables, as in a second stage: another training
            call = followed.call = None
        variables = self._sessions.origins.followed(
            session.graph, self.tracker.cells.cell, effect.used, followed.initialised
        )
        if call is None or call.names != variables.keys():
            call = followed.call = SessionCall(self.tracker, variables, followed.place)
            call.restored, followed.place = followed.late, None
        if effect.updated and call.moves_here():
            call.restored = followed.late
        if not call.restored:
            call.restore(
                session,
                self._sessions.used,
                followed.saver_at,
                updating=bool(effect.updated),
                in_loop=call.before_loop or self._sessions.in_loop(),
            )
        if effect.updated:
            call.begin(self._sessions.used)
            call.settled.add(id(effect))


def _analyse(graph: Any, targets: Sequence[Any], fetches: Sequence[Any]) -> Effect:
    names = tf1_variables.global_variables(graph)
    initializers = {str(one.initializer.name): name for name, one in names.items()}
    operations = [*targets, *(tensor.op for tensor in fetches)]
    return effect_of(operations, names, initializers, held=(*targets, *fetches))


def _saved_at(feeds: Any) -> float:
    """When the files that a Saver reads were written, in Unix time; 0 where that cannot be told."""
    for value in feeds.values():
        text = value.item() if getattr(value, "size", 0) == 1 else None
        path = os.fsdecode(text) if isinstance(text, str | bytes) else ""
        for end in (".index", ""):
            with suppress(OSError):
                if path:
                    return os.stat(path + end).st_mtime
    return 0.0
