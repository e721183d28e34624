"""The connection to an MLflow store: made on first use, ended at once, and what its errors mean."""

from __future__ import annotations

import os
from typing import Any

from runner.errors import RunnerError
from runner.tracking.database import check_database
from runner.tracking.moved_store import adopt_place
from runner.tracking.new_store import create_store
from runner.tracking.store_address import sqlite_file

# By default the client retries for four minutes, or for as long as the server asks. It also sends a request again if
# the answer is lost, which creates a run twice; the tracker searches for the run instead.
for _name, _value in (
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
    ("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false"),
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
):
    # Here, as MLflow reads the one about telemetry while it is imported. A value set by the user stays.
    os.environ.setdefault(_name, _value)


class Connection:
    """MLflow's client for the store at `uri`. Importing it takes about a second, so it is made when it is needed."""

    def __init__(self, uri: str) -> None:
        self.uri, self.file = uri, sqlite_file(uri)
        self.loading = False
        self._client: Any = None
        self._stopped = False

    def stop(self) -> None:
        """Send no further requests, from any thread. A request in progress may finish."""
        self._stopped = True

    @property
    def client(self) -> Any:
        """MLflow's client; raises RunnerError after `stop`."""
        # Checked at every use, so that `stop` takes effect between two requests.
        if self._stopped:
            raise RunnerError("stopped")
        if self._client is None:
            self.loading = True
            self._client = self._connect()
            self.loading = False
        return self._client

    def _connect(self) -> Any:
        import logging

        from mlflow import MlflowClient

        # After the import, which sets the levels of MLflow's and alembic's loggers itself.
        for level, names in ((logging.WARNING, ("mlflow", "alembic")), (logging.ERROR, ("urllib3", "psycopg"))):
            for name in names:
                logging.getLogger(name).setLevel(level)
        if self.file is not None and not self.file.exists():
            # MLflow would create it in place, and cannot open one whose creation was interrupted.
            create_store(self.file)
        elif self.file is not None:
            adopt_place(self.file)
        check_database(self.uri)
        return MlflowClient(tracking_uri=self.uri)
