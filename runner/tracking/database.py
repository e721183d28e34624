"""Whether MLflow can use a data base, found out before MLflow opens it.

MLflow upgrades an older store without asking as soon as one of its tables is missing
(`findings/mlflow_client_upgrades_a_store.sh`), after which older servers and clients cannot use it, and it tries for
100 seconds to connect to a data base that refuses the password.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.tracking.refusals import refused
from runner.tracking.store_address import DATABASES, mask_credentials, sqlite_file

CONNECT_SECONDS = 10
"""How long a data base server has to accept a connection."""


def check_database(uri: str) -> None:
    """Raise RunnerError, with the cure, if MLflow cannot use the data base at `uri` as it is.

    A new one is fine, and so is an address that is none of a data base.
    """
    file = sqlite_file(uri)
    if not re.match(DATABASES, uri) or (file is not None and not file.exists()):
        return
    found = _revision(uri)
    known = revisions()
    if found is None or not known or found == (head := _head(known)):
        return
    shown = mask_credentials(uri)
    if found in known:
        raise RunnerError(
            f"the store is from an older MLflow (revision {found}, here {head}); copy it, then `mlflow db upgrade "
            f"{shown}`, after which older versions of MLflow cannot use it"
        )
    raise RunnerError(
        f"the store is from a newer MLflow (revision {found}) than the installed {version('mlflow')}, or not MLflow's; "
        "`pip install --upgrade mlflow`"
    )


def _revision(uri: str) -> str | None:
    """The revision of the tables; None if they are not there yet."""
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS} if re.match("postgres|mysql", uri) else {}
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool, connect_args=options)
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            return str(connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version")))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise RunnerError(refused(error) or str(error)) from None
    except DBAPIError as error:
        raise RunnerError(f"the data base refuses: {' '.join(str(error.orig).split())}") from None


@cache
def revisions() -> dict[str, str]:
    """Each revision of a store that the installed MLflow knows, with what it follows; empty if they are not found.

    Read from the files of the migrations, as importing them takes a second.
    """
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return {}
    known = {}
    for file in sorted((Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py")):
        values = dict(re.findall(r"^(revision|down_revision)\b[^=\n]*=(.*)$", file.read_text("utf-8"), re.MULTILINE))
        if own := re.findall(r"\w+", values.get("revision", "")):
            known[own[0]] = values.get("down_revision", "")
    return known


def _head(known: dict[str, str]) -> str:
    """The revision that none follows."""
    followed = set(re.findall(r"\w+", " ".join(known.values())))
    return next((name for name in known if name not in followed), "")
