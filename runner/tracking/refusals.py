"""What a tracking server or its client refuses, as one line with the cure instead of the client's own message."""

from __future__ import annotations

import re
from html import unescape
from importlib.metadata import version

from runner.errors import RunnerError

SINCE = {"/log-inputs": "2.4", "/logged-models": "3.0"}
"""The first version of MLflow whose server knows a request, for those that older ones lack."""

PACKAGES = {
    "MySQLdb": "mysqlclient",
    "azure": "azure-storage-blob azure-identity",
    "google": "google-cloud-storage",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
"""The packages of modules with other names than theirs."""

LOG_IN = (
    "the user name or the password is missing or wrong (401); set $MLFLOW_TRACKING_USERNAME and "
    "$MLFLOW_TRACKING_PASSWORD, or $MLFLOW_TRACKING_TOKEN"
)
NOT_ALLOWED = "this user may not write here (403); ask for the permission EDIT on the experiment, or take another user"

REFUSALS = (
    # What stands between the client and MLflow.
    (r"Invalid Host header", "the server does not answer to this host name (403); start it with --allowed-hosts, "
     "and the names and ports that are used for it"),
    (r"experiments/get-by-name failed with error code 404", "there is no MLflow at this address (404); if it is behind "
     "a path prefix, add that, as in https://HOST/PREFIX"),
    (r"experiments/get-by-name failed with error code 403", "this user may not see the experiment, or MLflow is below "
     "a path prefix of this address (403); check the address, or ask for the permission EDIT"),
    (r"endpoint (?P<endpoint>/\S+) failed with error code 404", "the server does not know {endpoint} (404): its MLflow "
     "is older than {since}; upgrade it"),
    (r"not in a valid JSON format", "the answer is a web page{title}, not MLflow's; give MLflow's own address, with "
     "its path prefix, or log in if the page asks for that"),
    (r"Exceeded \d+ redirects|error code 405|405 Client Error", "the server seems to redirect, for example from http "
     "to https; give the address that it redirects to"),
    (r"error code 413|413 Client Error", "a file is too large for the server or the proxy before it (413); raise its "
     "limit (nginx: client_max_body_size)"),
    (r"error code 401|401 Client Error|UNAUTHENTICATED|CUSTOMER_UNAUTHORIZED", LOG_IN),
    (r"error code 403|403 Client Error|PERMISSION_DENIED", NOT_ALLOWED),
    (r"too many (?P<status>\d+) error responses|(?:error code |\b)(?P<other>5\d\d) (?:!=|Server Error)",
     "the server failed ({status}); its log says why"),
    # Workspaces.
    (r"Workspace '(?P<name>[^']*)' not found", "the server has no workspace '{name}', which $MLFLOW_WORKSPACE names"),
    (r"Active workspace '(?P<name>[^']*)' cannot be used", "the server has no workspaces, but $MLFLOW_WORKSPACE is "
     "'{name}'; unset it, or start the server with --enable-workspaces"),
    # Artifacts.
    (r"mlflow-artifacts URI was supplied", "a server serves the artifacts of this experiment; give its address, "
     "http://HOST:PORT, instead of that of its data base"),
    (r"NoCredentialsError|Unable to locate credentials", "the artifacts are in an S3 bucket, for which there are no "
     "credentials here; set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, and $MLFLOW_S3_ENDPOINT_URL if it is not "
     "Amazon's"),
    (r"Could not connect to the endpoint URL", "the object store of the artifacts does not answer; check "
     "$MLFLOW_S3_ENDPOINT_URL"),
    (r"\((?P<code>AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|NoSuchBucket)\)", "the object store of the "
     "artifacts refuses ({code}); check $AWS_ACCESS_KEY_ID, $AWS_SECRET_ACCESS_KEY and the bucket"),
    # The client and the network.
    (r"No module named '(?P<module>\w+)", "this store needs a package; `pip install {package}`"),
    (r"unsupported URI '|Could not parse SQLAlchemy URL|Can't load plugin: sqlalchemy", "there is no such kind of "
     "store; expected http://, https://, sqlite:///, postgresql://, mysql:// or mssql://"),
    (r"NameResolutionError|nodename nor servname|Name or service not known", "there is no host of this name"),
    (r"Connection refused", "nothing answers at this address; start the server, or check the port"),
    (r"timeout exception|[Tt]imed out", "no answer in time; $MLFLOW_HTTP_REQUEST_TIMEOUT is how many seconds a request "
     "may take"),
    (r"RemoteDisconnected|Connection aborted|ConnectionResetError", "the server closed the connection; its log says "
     "why"),
    (r"CERTIFICATE_VERIFY_FAILED", "the server's certificate is not trusted here; set $MLFLOW_TRACKING_SERVER_CERT_PATH"
     " to the file of the authority that signed it"),
    (r"WRONG_VERSION_NUMBER|SSLEOFError|RECORD_LAYER_FAILURE", "this port does not speak https; is it http://?"),
)  # fmt: skip
"""Patterns of the client's messages, the more specific ones first, and what is said instead."""


ONE_ITEM = {
    "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE", "BAD_REQUEST",
}  # fmt: skip
"""MLflow's codes of an error that concerns the one item that was sent, so that others can be sent all the same."""


class Refused(RunnerError):
    """The store refused something that it was sent. Looking again may show why: it was deleted, or exists by now."""


def concerns_one_item(error: Exception) -> bool:
    """Whether the store answered and refused what it was sent, as opposed to not answering or failing."""
    return isinstance(error, Refused) or getattr(error, "error_code", None) in ONE_ITEM


def refused(error: Exception) -> str:
    """The line for `error`, with the cure; "" if it is none of the known kinds. Credentials are not masked."""
    if isinstance(error, RunnerError):
        return str(error)  # it has its cure already
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    for pattern, line in REFUSALS:
        if found := re.search(pattern, message):
            groups = {name: value for name, value in found.groupdict().items() if value}
            return line.format(**{"status": groups.get("other"), **groups}, **_details(message, groups))
    return ""


def _details(message: str, groups: dict[str, str]) -> dict[str, str]:
    """What lines say beyond the groups of their patterns: the title of a page, a package, a version of MLflow."""
    title = re.search(r"(?i)<title>\s*(.{1,80}?)\s*</title>", message)
    module, endpoint = groups.get("module", ""), groups.get("endpoint", "")
    since = [first for name, first in SINCE.items() if name in endpoint]
    return {
        "title": f" ('{unescape(title[1])}')" if title else "",
        "package": PACKAGES.get(module, module),
        "since": since[0] if since else f"the one here, {version('mlflow')}",
    }
