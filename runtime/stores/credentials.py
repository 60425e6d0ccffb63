"""Google's application default credentials: whether there are any, and how to get them."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPES: Final = ("https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/cloud-platform")
"""Asked for where a scope can be asked for. The narrower ``drive.file`` does not see what the mounted
Drive, or another client, has written."""

_SERVED_ELSEWHERE: Final = {"gs": "STORAGE_EMULATOR_HOST", "drive-api": "HOLDFAST_DRIVE_ENDPOINT"}
"""Environment variables that name a server which wants no credentials."""


def in_colab() -> bool:
    """Whether this is Colab. That ``google.colab`` can be imported is true on Kaggle too."""
    return "COLAB_RELEASE_TAG" in os.environ


def default_store() -> str:
    """URL of the store where no setting says otherwise."""
    return "drive:holdfast" if in_colab() else "./holdfast"


def login_hint() -> str:
    """What to type to get credentials."""
    if in_colab():
        return "Run: from google.colab import auth; auth.authenticate_user()"
    return f"Run: gcloud auth application-default login --scopes={','.join(SCOPES)}"


def default_credentials() -> Credentials:
    """The application default credentials.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: There are none.
    """
    import google.auth

    found: Credentials = google.auth.default(scopes=SCOPES)[0]
    return found


def at_hand(kind: str) -> bool:
    """Whether a store of this kind has credentials, or needs none. Nothing is asked of the user.

    Those of a file are taken as they are; those of a machine's metadata server only if it gives out a
    token, since it may have none for this user.
    """
    if os.environ.get(_SERVED_ELSEWHERE.get(kind, "")):
        return True
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.auth") is None:
        return False
    from google.auth import compute_engine, exceptions
    from google.auth.transport.requests import Request

    try:
        found = default_credentials()
        if isinstance(found, compute_engine.Credentials):
            found.refresh(Request())  # type: ignore[no-untyped-call]
    except exceptions.GoogleAuthError:
        return False
    return True
