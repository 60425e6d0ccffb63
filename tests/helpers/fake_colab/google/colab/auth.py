"""Credentials: application default ones, of a user that nobody knows."""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import ask


def authenticate_user(clear_output: bool = True, project_id: str | None = None) -> None:
    """Puts credentials where Google's clients look for them. Whoever has some is not asked again.

    Raises:
        MessageError: The user refuses.
    """
    del clear_output, project_id
    path = Path(os.environ["CLOUDSDK_CONFIG"]) / "application_default_credentials.json"
    if path.exists():
        return
    ask("credentials")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "nobody.apps.example.com",
                "client_secret": "none",
                "refresh_token": "none",
            }
        ),
        encoding="utf-8",
    )
