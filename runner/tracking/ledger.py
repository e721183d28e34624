"""The ledger: which MLflow run holds what, so that nothing is published twice and no store is searched for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runner.tracking.store_address import masked


@dataclass(frozen=True)
class LedgerEntry:
    """`run` is "" from just before a run is created until its id is known; `content` is what was last published."""

    run: str
    content: str


class Ledger:
    """A JSON line a change, for one store; a torn or unreadable line counts as never written."""

    def __init__(self, path: Path, store: str) -> None:
        self.path, self.store = path, masked(store)
        self.entries: dict[str, LedgerEntry] = {}
        content = path.read_bytes() if path.exists() else b""
        self._torn = not content.endswith(b"\n") and content != b""
        for line in content.splitlines():
            try:
                row = json.loads(line)
                texts = [row[key] for key in ("store", "key", "run", "content")]
                if texts[0] == self.store and all(isinstance(text, str) for text in texts):
                    self.entries[row["key"]] = LedgerEntry(row["run"], row["content"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    def note(self, key: str, run: str = "", content: str = "") -> None:
        self.entries[key] = LedgerEntry(run, content)
        row = {"store": self.store, "key": key, "run": run, "content": content}
        line = ("\n" if self._torn else "") + json.dumps(row) + "\n"
        self._torn = True  # until it is written whole
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
        self._torn = False

    def published(self, key: str, content: str) -> bool:
        entry = self.entries.get(key)
        return entry is not None and bool(entry.run) and entry.content == content
