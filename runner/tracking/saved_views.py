"""The form in which MLflow's UI saves a view: a tag of the experiment.

The tag is JSON with a name, two times and a state, which is the JSON of what the page shows, compressed. No interface
promises that, so a test pins it to the installed version, and the UI of another version is opened without a view.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "mlflow.sharedViewState."
"""How the key of a tag begins that is a saved view; the rest is the view's key, which addresses name."""
OURS = "runner-"
"""How the keys of our views begin; views that people save have other ones."""
FIRST = f"{OURS}cells"
"""The key of the view that `runner ui` opens."""
CURVES = f"{OURS}curves"
"""The key of the view whose charts are to be looked at."""
KNOWN_VERSIONS = ("3.17",)
"""The versions of MLflow whose UI was seen to open these views."""
MOST_CHARACTERS = 5000
"""MLflow's limit for the value of an experiment's tag."""
LARGEST_STATE = 1_000_000
"""In bytes. A larger state is not one of ours."""

DEFLATED = "deflate;"
"""How a state begins that is compressed."""

State = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A saved view: its key in addresses, its name in the UI's list, and its state.

    Times are in milliseconds since 1970; one that nobody has changed in the UI since was `updated` when it was made.
    """

    key: str
    name: str
    state: State
    created: int = 0
    updated: int = 0


def changed_tags(views: Sequence[View], tags: Mapping[str, str], now: int) -> tuple[dict[str, str], list[str]]:
    """What to set and what to delete among an experiment's `tags`, so that it has these views, first things first.

    `now` is in milliseconds since 1970. A view that somebody has changed in the UI stays as they left it.
    """
    changed: dict[str, str] = {}
    for number, view in enumerate(views):
        saved = find_view(tags, view.key)
        if saved and (saved.updated != saved.created or (saved.name, saved.state) == (view.name, view.state)):
            continue
        # The UI lists views by the time they were made, the latest first.
        changed[PREFIX + view.key] = pack(view, saved.created if saved else now + len(views) - number)
    keys = {PREFIX + view.key for view in views}
    return changed, sorted(key for key in tags if key.startswith(PREFIX + OURS) and key not in keys)


def fits_a_tag(view: View) -> bool:
    return len(pack(view, 10**13)) <= MOST_CHARACTERS


def pack(view: View, created: int) -> str:
    """The tag's value of a view that is made at the time `created`."""
    state = base64.b64encode(zlib.compress(json.dumps(view.state, separators=(",", ":")).encode(), 9)).decode()
    content = {"name": view.name, "createdAt": created, "updatedAt": created, "state": f"{DEFLATED}{state}"}
    return json.dumps(content, separators=(",", ":"))


def find_view(tags: Mapping[str, str], key: str) -> View | None:
    """The view with that key among an experiment's tags; None if there is none that the UI could read."""
    try:
        content = json.loads(tags.get(PREFIX + key, ""))
        created, updated = int(content["createdAt"]), int(content.get("updatedAt", content["createdAt"]))
        packed = base64.b64decode(content["state"].removeprefix(DEFLATED), validate=True)
        state = json.loads(zlib.decompressobj().decompress(packed, LARGEST_STATE))
        return View(key, str(content["name"]), dict(state), created, updated)
    # AttributeError: JSON that is no object; RecursionError: nested too deep.
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, zlib.error):
        return None
