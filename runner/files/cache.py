"""Where files are kept that can be had again: downloads, and data sets as they were read."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$ARCHRUNNER_CACHE, or the folder that the system has for such."""
    if os.environ.get("ARCHRUNNER_CACHE"):
        return Path(os.environ["ARCHRUNNER_CACHE"]).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("archrunner")
