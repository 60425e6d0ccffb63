"""What failures of Cloud Storage's client mean, in words without addresses and tokens."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError

from holdfast.runtime.errors import (
    FormatInvalid,
    HoldfastError,
    ObjectNotFound,
    StoreRefused,
    StoreUnavailable,
)
from holdfast.runtime.stores.credentials import in_colab, login_hint

USER_PROJECT: Final = "HOLDFAST_GCS_USER_PROJECT"
"""Environment variable with the project that pays for a requester-pays bucket."""

KEY_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"

_TRANSIENT: Final = frozenset({408, 409, 412, 429})
"""Of the answers 4xx those that another try may change. After 412 an upload looks what is stored."""

_SECRET: Final = re.compile(r"[^\s\"'<>]{40,}")
"""What may be a token or the address of an upload, which is as good as one."""


def translated(error: Exception, url: str, bucket: str) -> HoldfastError:
    """The project's error for one of the client's.

    Args:
        error: What the client raised.
        url: What it concerns.
        bucket: Name of the bucket.
    """
    if isinstance(error, HoldfastError):
        return error
    if isinstance(error, RetryError) and isinstance(error.cause, Exception):
        return translated(error.cause, url, bucket)
    if isinstance(error, GoogleAuthError):
        return _of_credentials(error, url)
    code = _code(error)
    if code is None:
        return StoreUnavailable(f"Cloud Storage did not answer well: {type(error).__name__}", where=url)
    text = told(error)
    if code == 404 and "bucket does not exist" not in text.lower():
        return ObjectNotFound("Not in the store", where=url)
    if code == 416:
        return FormatInvalid("The object ends too early", where=url)
    # A mismatch of checksums is damage on the way.
    if code >= 500 or code in _TRANSIENT or code < 400 or (code == 400 and _names_checksum(text)):
        return StoreUnavailable(f"Cloud Storage answers {code}", where=url)
    what, hint = _refusal(code, text, bucket)
    return StoreRefused(what, where=url, hint=hint)


def told(error: Exception) -> str:
    """What the server gave as its reason. It may hold what no message may."""
    response: Any = getattr(error, "response", None)
    try:
        inner = response.json()["error"]
        reasons = [one.get("reason", "") for one in inner.get("errors", ())]
        return " ".join([inner["message"], *reasons])
    except (AttributeError, KeyError, TypeError, ValueError):
        return str(getattr(response, "text", "") or getattr(error, "message", ""))


def wants_payer(error: Exception) -> bool:
    """Whether the bucket wants to be told which project pays."""
    text = told(error).lower()
    return "requester pays" in text and "user project" in text


def no_bucket(url: str, bucket: str) -> StoreRefused:
    """The error where the bucket is missing."""
    return StoreRefused(f"There is no bucket {bucket}", where=url, hint=_create_bucket(bucket))


def _code(error: Exception) -> int | None:
    if isinstance(error, GoogleAPICallError) and error.code is not None:
        return int(error.code)
    status = getattr(getattr(error, "response", None), "status_code", None)  # the client's own InvalidResponse
    return status if isinstance(status, int) and status >= 300 else None


def _of_credentials(error: GoogleAuthError, url: str) -> HoldfastError:
    if isinstance(error, DefaultCredentialsError):
        what = "There are no credentials for Cloud Storage"
        if KEY_FILE in os.environ:
            what = f"The file that {KEY_FILE} names holds no credentials, or cannot be read"
        return StoreRefused(what, where=url, hint=_login())
    if isinstance(error, RefreshError) and not error.retryable:
        return StoreRefused("The credentials for Cloud Storage are no longer valid", where=url, hint=_login())
    return StoreUnavailable(f"Signing in did not work: {type(error).__name__}", where=url)


def _login() -> str:
    return login_hint() if in_colab() else f"{login_hint()}, or set {KEY_FILE} to a key file"


def _names_checksum(text: str) -> bool:
    return any(word in text.lower() for word in ("crc32c", "md5", "checksum"))


def _create_bucket(bucket: str) -> str:
    return f"Check its name, or make it: gcloud storage buckets create gs://{bucket} --location=REGION"


def _refusal(code: int, text: str, bucket: str) -> tuple[str, str | None]:
    """What is refused, and the next command where there is one."""
    low = text.lower()
    if code == 404:
        return f"There is no bucket {bucket}", _create_bucket(bucket)
    if code == 401:
        return "Cloud Storage wants valid credentials", _login()
    if "requester pays" in low:
        return (
            f"The bucket {bucket} is paid for by who asks, and no project was named",
            f"Name one: export {USER_PROJECT}=PROJECT, in a notebook %env {USER_PROJECT}=PROJECT",
        )
    if "retentionpolicy" in low.replace(" ", "") or "active hold" in low or "activehold" in low:
        return (
            "A retention policy or a hold of the bucket forbids to delete",
            f"Use another bucket, or: gcloud storage buckets update gs://{bucket} --clear-retention-period",
        )
    if "scope" in low:
        return "The credentials are not meant for writing to Cloud Storage", _login()
    if "billing" in low or "accountdisabled" in low:
        return (
            f"The project of the bucket {bucket} has no billing account that is in force",
            "See: gcloud billing projects describe PROJECT",
        )
    if "serviceusage" in low or "userproject" in low or "user_project" in low:
        return (
            f"These credentials may not charge the project that {USER_PROJECT} names",
            "Its owner can allow it: gcloud projects add-iam-policy-binding PROJECT --member="
            f"{_member(text)} --role=roles/serviceusage.serviceUsageConsumer",
        )
    if code == 403:
        permission = re.search(r"storage\.[a-z]+\.[a-zA-Z]+", text)
        return (
            f"No permission in the bucket {bucket}: {permission[0] if permission else 'forbidden'}",
            f"Its owner can give it: gcloud storage buckets add-iam-policy-binding gs://{bucket} "
            f"--member={_member(text)} --role=roles/storage.objectAdmin",
        )
    return f"Cloud Storage refuses with {code}: {_SECRET.sub('…', text)[:160] or 'no reason given'}", None


def _member(text: str) -> str:
    """Who was refused, as gcloud writes it."""
    found = re.match(r"[\w.+-]+@[\w.-]+\w(?= does not have)", text)
    if not found:
        return "user:EMAIL"
    return f"{'serviceAccount' if found[0].endswith('.gserviceaccount.com') else 'user'}:{found[0]}"
