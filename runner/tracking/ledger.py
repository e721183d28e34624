"""The ledger: which MLflow run holds what, so that nothing is published twice and the store need not be searched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runner.errors import RunnerError
from runner.files import untrusted
from runner.files.own_files import opener
from runner.tracking.store_address import mask_credentials

MOST_BYTES = 500_000_000
"""A larger file is refused. A ledger has about 200 bytes per run in the store."""

EXPERIMENT = "experiment"
"""The key of the MLflow experiment's name, if it is not that of the study."""


@dataclass(frozen=True)
class LedgerEntry:
    """An MLflow run and a hash of the content last published to it.

    `run` is "" while the run is being created; `content` is "" until the run is complete.
    """

    run: str
    content: str


class Ledger:
    """The entries for one store, by key. The file has one JSON line per change; a torn or invalid line is ignored."""

    def __init__(self, path: Path, store: str) -> None:
        # The store's address is written into the file, which must not contain a password.
        self.path, self.store = path, mask_credentials(store)
        self.entries: dict[str, LedgerEntry] = {}
        try:
            content = untrusted.read_bytes(path, MOST_BYTES) if path.exists() else b""
        except ValueError as error:
            raise RunnerError(f"{path}: {error}; restore the file, or delete it to publish everything again") from None
        self._torn = not content.endswith(b"\n") and content != b""
        for line in content.splitlines():
            try:
                row = json.loads(line)
                texts = [row[key] for key in ("store", "key", "run", "content")]
                if texts[0] == self.store and all(isinstance(text, str) for text in texts):
                    self.entries[row["key"]] = LedgerEntry(row["run"], row["content"])
            except (ValueError, KeyError, TypeError, RecursionError):  # RecursionError: JSON nested too deep
                continue

    def record(self, key: str, run: str = "", content: str = "") -> None:
        self.entries[key] = LedgerEntry(run, content)
        row = {"store": self.store, "key": key, "run": run, "content": content}
        # A torn line lacks its newline. Without one this line would be appended to it, and both would be invalid.
        line = ("\n" if self._torn else "") + json.dumps(row) + "\n"
        self._torn = True  # until the whole line is written
        # Not synced to disk: runs missing here after a crash are found in the store and added.
        with open(self.path, "a", encoding="utf-8", opener=opener) as file:
            file.write(line)
        self._torn = False

    def forget(self, key: str) -> None:
        """The store has no run for `key`; the file says so once there is another."""
        self.entries.pop(key, None)

    def clear(self) -> None:
        """The store has none of the runs; what is no run stays."""
        self.entries = {key: entry for key, entry in self.entries.items() if key == EXPERIMENT}

    def is_published(self, key: str, content: str) -> bool:
        entry = self.entries.get(key)
        return entry is not None and bool(entry.run) and entry.content == content
