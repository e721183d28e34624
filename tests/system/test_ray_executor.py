"""The Ray executor on a cluster of several nodes: the suite of all executors, and what only a cluster can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from executor_suite import ExecutorSuite
from ray_cluster import RayCluster, ray_cluster

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    with ray_cluster(tmp_path_factory.mktemp("ray"), nodes=3) as cluster:
        yield cluster


class TestRay(ExecutorSuite):
    @pytest.fixture
    def options(self, cluster: RayCluster) -> dict[str, Any]:
        return {"executor": "ray", "address": cluster.address, "workers": 2}
