"""The folder for files that can be recreated: downloads, and data sets prepared for the workers."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$ARCHRUNNER_CACHE, or the user's cache folder of the operating system. It need not exist yet."""
    if os.environ.get("ARCHRUNNER_CACHE"):
        return Path(os.environ["ARCHRUNNER_CACHE"]).expanduser()
    # Not at the top: every plugin imports this module through runner.api, and few commands need the folder.
    import platformdirs

    return platformdirs.user_cache_path("archrunner")
