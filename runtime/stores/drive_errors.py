"""Drive's answers, and the network's failures, as the project's errors."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httplib2
from google.auth import exceptions
from googleapiclient.errors import Error, HttpError

from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectExists,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
)
from holdfast.runtime.stores.credentials import login_hint
from holdfast.runtime.stores.drive_rest import WHERE

_RATES: Final = frozenset(
    {"userRateLimitExceeded", "rateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
)
"""Reasons of a 403 that pass while one waits."""

_LOGIN: Final = "login"
"""Stands for `login_hint`, which depends on where this runs."""

_FULL: Final = "Free some space: delete old runs, and empty Drive's trash, which counts"
_CROWDED: Final = "Delete old runs, or name another folder"

_DISABLED: Final = (
    "The Drive API is not enabled in the credentials' project",
    "Run: gcloud services enable drive.googleapis.com. The project is the one of "
    "gcloud auth application-default set-quota-project",
)

_REASONS: Final = {
    "insufficientPermissions": ("The credentials do not cover Drive", _LOGIN),
    "insufficientScopes": ("The credentials do not cover Drive", _LOGIN),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ("The credentials do not cover Drive", _LOGIN),
    "insufficientFilePermissions": ("No permission to write there", "Name a folder of your own"),
    "accessNotConfigured": _DISABLED,
    "SERVICE_DISABLED": _DISABLED,
    "storageQuotaExceeded": ("Drive is full", _FULL),
    "quotaExceeded": ("Drive is full", _FULL),
    "teamDriveFileLimitExceeded": ("The shared drive holds as many files as it may", _CROWDED),
    "numChildrenInNonRootLimitExceeded": ("The folder holds as many files as it may", _CROWDED),
    "activeItemCreationLimitExceeded": ("The account holds as many files as it may", _CROWDED),
    "dailyLimitExceeded": ("The day's requests are used up", "Wait until tomorrow, or use another project"),
    "domainPolicy": ("The administrator does not allow this", "Use another account, or another store"),
}


@contextmanager
def translated(passing: list[BaseException] | None = None) -> Iterator[None]:
    """Turns the client's errors into the project's, at this edge only.

    Args:
        passing: Errors of what is uploaded: none of Drive's, so they pass as they are.
    """
    try:
        yield
    except (HoldfastError, *_OURS) as error:
        if isinstance(error, HoldfastError) or any(error is one for one in passing or ()):
            raise
        raise _translation(error) from None


_OURS: Final = (
    Error,
    exceptions.GoogleAuthError,
    httplib2.HttpLib2Error,
    http.client.HTTPException,
    OSError,
    ValueError,  # a reply that is no JSON, or no UTF-8
    LookupError,  # one that lacks what it should have
)


def _translation(error: Exception) -> HoldfastError:
    match error:
        case HttpError():
            return _answer(int(error.resp.status), _reasons(error.content))
        case exceptions.DefaultCredentialsError():
            return StoreRefused("No credentials for Google Drive", where=WHERE, hint=login_hint())
        case exceptions.RefreshError() if not (error.retryable or _of_transport(error)):
            return StoreRefused("The credentials are not valid any more", where=WHERE, hint=login_hint())
        case httplib2.HttpLib2Error() | exceptions.GoogleAuthError() | http.client.HTTPException() | OSError():
            # Its text may hold an address with a secret in it.
            return StoreUnavailable(f"Drive did not answer: {type(error).__name__}", where=WHERE)
        case _:
            return StoreUnavailable("Drive's answer is cut off or garbled", where=WHERE)


def _answer(status: int, reasons: list[str]) -> HoldfastError:
    said = f"{status} {reasons[0]}" if reasons else str(status)
    if status == 401:
        return StoreRefused("The credentials are not accepted", where=WHERE, hint=login_hint())
    if status == 404:
        return ObjectNotFound("Not in Drive", where=WHERE)
    if status == 409:
        return ObjectExists("The id is taken", where=WHERE)
    if status == 416:
        return FormatInvalid("The file is shorter than that", where=WHERE)
    if status in (408, 410, 429) or status >= 500 or (status == 403 and not _RATES.isdisjoint(reasons)):
        return StoreUnavailable(f"Drive is not available now: {said}", where=WHERE)
    for reason in reasons:
        if reason in _REASONS:
            what, hint = _REASONS[reason]
            return StoreRefused(f"{what}: {said}", where=WHERE, hint=login_hint() if hint == _LOGIN else hint)
    return StoreRefused(f"Drive refuses: {said}", where=WHERE)


def _reasons(content: bytes) -> list[str]:
    """The reasons in an answer: of the older kind in ``errors``, of the newer one in ``details``."""
    try:
        error: Any = json.loads(content)["error"]
        entries = [*error.get("details", []), *error.get("errors", [])]
        found = [entry["reason"] for entry in entries if "reason" in entry]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
    # Only plain words, since they go into a message.
    return [reason for reason in found if isinstance(reason, str) and reason.replace("_", "").isalnum()]


def _of_transport(error: exceptions.RefreshError) -> bool:
    causes = (error.__cause__, *error.args)
    return any(isinstance(cause, exceptions.TransportError) for cause in causes)
