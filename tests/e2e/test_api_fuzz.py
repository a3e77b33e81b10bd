"""Every endpoint of a node, fuzzed from its own description: no defect, nothing changed by a no."""

from __future__ import annotations

import http.client
import importlib
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.architecture.shape import ROOT
from tests.fakes.node_process import NodeProcess

schemathesis = pytest.importorskip("schemathesis")

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(180)]

#: Requests of each kind for each endpoint, and seconds for one endpoint.
EXAMPLES = 8
BUDGET_S = 0.4
#: What there is to see of the state of a node.
STATE = ("bounce", "suspend", "suspend-ready-q", "automation", "xfer", "drain")
CHECKS = ("content_type_conformance", "response_schema_conformance", "status_code_conformance")


class Fuzzer:
    """Asks the endpoints of a node for anything.

    Attributes:
        asked: How many requests each endpoint got, and how many it took.
        defects: What went wrong.
    """

    def __init__(self, node: NodeProcess) -> None:
        checks = importlib.import_module("schemathesis.specs.openapi.checks")
        self._checks = [getattr(checks, name) for name in CHECKS]
        self._node = node
        self._connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
        self._until = 0.0
        self._state: dict[str, Any] | None = None
        self.asked: dict[str, list[int]] = {}
        self.defects: list[str] = []

    def run(self) -> None:
        """Ask each endpoint, in turns, for what fits its description and for what does not."""
        url = f"http://127.0.0.1:{self._node.http_port}/api-docs/openapi.json"
        operations = [one.ok() for one in schemathesis.openapi.from_url(url).get_all_operations()]
        for operation in operations:
            self.asked[operation.label] = [0, 0]
            self._until = time.monotonic() + BUDGET_S
            for mode in schemathesis.GenerationMode:
                self._fuzz(operation, mode)

    def _fuzz(self, operation: Any, mode: Any) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            asked = self.asked[operation.label]
            # At least once, however slow the machine is.
            if time.monotonic() < self._until or not asked[0]:
                self._ask(case, asked)

        try:
            ask()
        except Unsatisfiable:
            # There is nothing that would not fit.
            pass
        except BaseException as error:
            if type(error).__name__ != "Skipped":
                raise

    def _ask(self, case: Any, count: list[int]) -> None:
        is_act = case.method != "GET"
        if is_act and self._state is None:
            self._state = self._look()
        response = case.call(timeout=10)
        count[0] += 1
        code = response.status_code
        if code == 500 and "the policy was rejected" not in response.text or code > 503:
            self._complain(case, response, "a defect")
        try:
            case.validate_response(response, checks=self._checks)
        except AssertionError as error:
            self._complain(case, response, str(error))
        if code < 300:
            count[1] += 1
            self._state = None if is_act else self._state
        elif is_act and self._look() != self._state:
            self._complain(case, response, "refused, and changed something")
            self._state = None

    def _look(self) -> dict[str, Any]:
        """Return what requests could change, without what time changes."""
        found = {name: self._get(f"/api/admin/{name}/v1") for name in STATE}
        for name in STATE[:3]:
            found[name] = [
                {key: value for key, value in one.items() if key not in ("duration", "expires")}
                for one in found[name]
            ]
        queues = self._get("/api/admin/queues/v1?order=name")["scheduled"]
        found["queues"] = [(one["queue_name"], one["count"]) for one in queues]
        return found

    def _get(self, path: str) -> Any:
        self._connection.request("GET", path)
        return json.loads(self._connection.getresponse().read())

    def _complain(self, case: Any, response: Any, what: str) -> None:
        text = response.text[:200]
        self.defects.append(f"{what}: {response.status_code} {case.as_curl_command()}: {text}")


def test_no_request_meets_a_defect_and_no_refused_one_changes_anything(make_node, sink):
    node = make_node(queue="retry_interval='1h'")
    sink.judge = lambda stage, address: "451 4.3.2 later"
    with node.running():
        node.send("waits")
        node.wait_records("TransientFailure", 1)
        fuzzer = Fuzzer(node)
        fuzzer.run()
        assert node.is_live()

    assert fuzzer.defects == []
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text()
    assert [name for name in fuzzer.asked if f"\n## {name}\n" not in page] == []
    unasked = [name for name, (asked, _) in fuzzer.asked.items() if not asked]
    assert unasked == []
    # A fuzzer that everything is refused tests one line.
    assert sum(taken > 0 for _, taken in fuzzer.asked.values()) > len(fuzzer.asked) / 2
