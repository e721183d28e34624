"""The ledger: which MLflow run holds what, so that nothing is published twice and no store is searched for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """`run` is "" from just before a run is created until its id is known; `content` is what was last published."""

    run: str
    content: str


class Ledger:
    """A JSON line a change, for one store; a torn or unreadable line counts as never written."""

    def __init__(self, path: Path, store: str) -> None:
        self.path, self.store = path, store
        self.entries: dict[str, Entry] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
                if row["store"] == store:
                    self.entries[row["key"]] = Entry(row["run"], row["content"])
            except (ValueError, KeyError, TypeError):
                continue

    def note(self, key: str, run: str = "", content: str = "") -> None:
        self.entries[key] = Entry(run, content)
        row = {"store": self.store, "key": key, "run": run, "content": content}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def published(self, key: str, content: str) -> bool:
        entry = self.entries.get(key)
        return entry is not None and bool(entry.run) and entry.content == content
