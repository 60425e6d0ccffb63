"""Google's client for one bucket: when it is made, its connections, and who pays."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from google.cloud import storage
from requests.adapters import HTTPAdapter

from holdfast.runtime.stores.gcs_errors import USER_PROJECT

CONNECTIONS: Final = 16
"""Connections kept open: no fewer than the threads that use a store at once."""


class BucketClient:
    """The client of one bucket, made at its first use and shared by the bucket's stores.

    Args:
        bucket: Name of the bucket.
    """

    def __init__(self, bucket: str) -> None:
        self._name, self._lock = bucket, threading.Lock()
        self._client: Any = None
        self._payer = os.environ.get(USER_PROJECT) or None

    def bucket(self) -> Any:
        """The client's `Bucket`, of this thread's own; nothing is asked of the server."""
        with self._lock:
            if self._client is None:
                # Else the client asks for the bucket's metadata from a thread of its own.
                os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
                self._client = storage.Client(project=None)
                for scheme in ("https://", "http://"):
                    self._client._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
            return self._client.bucket(self._name, user_project=self._payer)

    def may_pay(self, refused: Any) -> bool:
        """Lets the environment's project pay from now on; False where there is none, or it was refused.

        Not from the start: whoever may not charge that project would be refused by every bucket.

        Args:
            refused: The `Bucket` with which it was asked in vain.
        """
        with self._lock:
            self._payer = self._payer or os.environ.get("GOOGLE_CLOUD_PROJECT") or None
            return refused.user_project is None and self._payer is not None
