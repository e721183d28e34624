"""The address of a study's view in MLflow's UI, which the server at a base address is asked for.

By its REST interface, without MLflow's client: importing that takes a second and 200 MB, which the process beside a UI
would have as long as the UI is open.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from runner.errors import RunnerError
from runner.text import did_you_mean
from runner.tracking.saved_views import CURVES, FIRST, KNOWN_VERSIONS, PREFIX, find_view

TIMEOUT = 5.0
"""Seconds that an answer may take."""
MOST_BYTES = 50_000_000
"""A longer answer is refused."""
MOST_PAGES = 20
"""Of 1000 experiments each; a server that has more is not searched further for names that are near."""

NO_STUDY = "there is no study in the store yet; `runner run` and `runner publish` put it there"


@dataclass(frozen=True)
class Page:
    """An address in the UI, and a remark on what it lacks; "" if nothing."""

    address: str
    remark: str = ""


@dataclass(frozen=True)
class Experiment:
    id: str
    name: str
    tags: Mapping[str, str]


class NoAnswer(Exception):
    """The server did not answer, or not as MLflow does; `status` is that of HTTP, 0 without any."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class _SameHost(HTTPRedirectHandler):
    """Follows a redirection to the same host only: to another one the password would be sent along."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).hostname != urlsplit(req.full_url).hostname:
            return None  # which makes it an error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Server:
    """A tracking server at an address that may hold a user and a password, which `base` lacks.

    `store` is what messages call its store, by default its address.
    """

    def __init__(self, uri: str, store: str = "") -> None:
        parts = urlsplit(uri)
        self.base = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
        self.store = store or self.base
        self._headers = {"Content-Type": "application/json", **_authorization(parts.username, parts.password)}
        self.workspace = ""
        # Once: each context that trusts this system's certificates takes half a megabyte.
        secure = [HTTPSHandler(context=_trust())] if parts.scheme == "https" else []
        self._opener = build_opener(_SameHost, *secure)

    def find_page(self, study: str) -> Page:
        """The page of a study or, if `study` is "", of the one whose run began last.

        Raises NoAnswer, and RunnerError if there is no study of that name.
        """
        version = self.ask("/version").decode(errors="replace").strip()[:40]
        self._find_workspace()
        try:
            experiment = self.find_study(study) if study else self._newest()
        except (KeyError, TypeError, AttributeError):
            raise NoAnswer("the answer is not that of an MLflow server") from None
        if experiment is None:
            return Page(self.home(), NO_STUDY)
        return view_page(self.base, experiment, version, self.workspace)

    def home(self) -> str:
        return f"{self.base}/" + (f"#/?{urlencode({'workspace': self.workspace})}" if self.workspace else "")

    def is_ready(self) -> bool:
        try:
            return self.ask("/health").strip() == b"OK"
        except NoAnswer:
            return False

    def ask(self, path: str, **content: object) -> bytes:
        """The server's answer to `content`, or to a plain request; raises NoAnswer."""
        data = json.dumps(content).encode() if content else None
        try:
            with self._opener.open(Request(self.base + path, data, self._headers), timeout=TIMEOUT) as answer:
                return bytes(answer.read(MOST_BYTES))
        except HTTPError as error:
            raise NoAnswer(f"{error.code} {error.reason}", error.code) from None
        # OSError: no connection or none in time; ValueError: no address; HTTPException: no HTTP.
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise NoAnswer(str(getattr(reason, "strerror", "") or reason) or type(error).__name__) from None

    def _call(self, path: str, **content: object) -> dict[str, Any]:
        """An answer of the REST interface; raises NoAnswer, or TypeError for one that is no JSON object."""
        try:
            answer = json.loads(self.ask(f"/api/2.0/mlflow/{path}", **content))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise TypeError("no object")
        return answer

    def _find_workspace(self) -> None:
        """Take the workspace that MLflow's client would take, if the server has workspaces."""
        try:
            known = json.loads(self.ask("/api/3.0/mlflow/server-info"))
            has_workspaces = isinstance(known, dict) and known.get("workspaces_enabled") is True
        except (NoAnswer, ValueError, RecursionError):  # a server before they existed
            has_workspaces = False
        if has_workspaces:
            self.workspace = os.environ.get("MLFLOW_WORKSPACE") or "default"
            self._headers["X-MLFLOW-WORKSPACE"] = self.workspace

    def find_study(self, study: str) -> Experiment:
        """The experiment of that name; raises NoAnswer, and RunnerError if there is none."""
        try:
            row = self._call(f"experiments/get-by-name?{urlencode({'experiment_name': study})}")["experiment"]
            if row["lifecycle_stage"] != "active":
                raise RunnerError(f"{self.store}: the study '{study}' was deleted from the store")
            return _experiment(row)
        except NoAnswer as error:
            if error.status != 404:
                raise
        others = [each.name for each in self._experiments() if each.name != "Default"]
        raise RunnerError(f"{self.store}: no study '{study}'{did_you_mean(study, others)}")

    def _newest(self) -> Experiment | None:
        experiments = self._experiments()
        experiments = [each for each in experiments if PREFIX + FIRST in each.tags] or experiments
        if not experiments:
            return None
        runs = self._call(
            "runs/search", experiment_ids=[each.id for each in experiments], max_results=1,
            filter="tags.`runner.kind` != ''", order_by=["attributes.start_time DESC"],
        ).get("runs", [])  # fmt: skip
        ids = [run["info"]["experiment_id"] for run in runs]
        return next((each for each in experiments if each.id in ids), None)

    def _experiments(self) -> Sequence[Experiment]:
        found: list[Experiment] = []
        token = ""
        for _ in range(MOST_PAGES):
            answer = self._call(
                "experiments/search", max_results=1000, view_type="ACTIVE_ONLY",
                **({"page_token": token} if token else {}),
            )  # fmt: skip
            found += map(_experiment, answer.get("experiments", []))
            token = answer.get("next_page_token", "")
            if not token:
                break
        return found


def view_page(base: str, experiment: Experiment, version: str, workspace: str = "", key: str = FIRST) -> Page:
    """The page of the experiment's view with that key in the UI at `base`, of an MLflow of `version`.

    A UI that is not known to open saved views gets the view's filter and order in the address itself, which has no
    room for columns.
    """
    view, remark = find_view(experiment.tags, key), ""
    query = {"workflowType": "machine_learning"}  # without it, the UI opens a page on traces of language models
    if view is None:
        remark = f"the study '{experiment.name}' has no views yet; `runner publish` writes them"
    elif ".".join(version.split(".")[:2]) in KNOWN_VERSIONS:
        query |= {"viewStateShareKey": key, **({"compareRunsMode": "CHART"} if key == CURVES else {})}
    else:
        state = {name: view.state.get(name, "") for name in ("searchFilter", "orderByKey", "orderByAsc")}
        query |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in state.items()}
        remark = f"MLflow {version} is not known to open saved views, so columns are to be chosen in the page"
    query |= {"workspace": workspace} if workspace else {}
    return Page(f"{base}/#/experiments/{experiment.id}/runs?{urlencode(query)}", remark)


def _experiment(row: dict[str, Any]) -> Experiment:
    tags = {tag["key"]: tag.get("value", "") for tag in row.get("tags", [])}
    return Experiment(str(row["experiment_id"]), str(row["name"]), tags)


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    """The header that says who asks: by the address or else, as MLflow's client does, by the environment."""
    if not user:
        user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        if not user and token:
            return {"Authorization": f"Bearer {token}"}
    else:
        user, password = unquote(user), unquote(password or "")
    plain = f"{user}:{password or ''}".encode()
    return {"Authorization": f"Basic {base64.b64encode(plain).decode()}"} if user else {}


def _trust() -> ssl.SSLContext:
    """Which certificates are trusted, set as for MLflow's client."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
