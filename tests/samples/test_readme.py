"""The script and the injection of the README do what the README says."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest

from tests.samples.running_node import ROOT, Receiver, RunningNode, free_ports, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
README = (ROOT / "README.md").read_text()


def test_the_first_five_minutes(tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (body,) = re.findall(r"/api/inject/v1 -d '(.*?)'", README, re.DOTALL)
    receiver = Receiver()
    smtp_port, http_port = free_ports(2)
    for old, new in {
        "/tmp/cirrus": str(tmp_path),
        ":2525": f":{smtp_port}",
        ":8000": f":{http_port}",
        ":2600": f":{receiver.port}",
    }.items():
        assert old in script
        script = script.replace(old, new)
    policy = tmp_path / "first.py"
    policy.write_text(script)
    node = RunningNode(policy, smtp_port, http_port, tmp_path / "logs")

    with receiver.listening(), node.running():
        request = urllib.request.Request(
            f"http://127.0.0.1:{http_port}/api/inject/v1",
            data=body.encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            injected = json.load(answer)
        wait_until("the message", lambda: receiver.taken)
        wait_until("its record", lambda: node.records("Delivery"))

    assert injected["success_count"] == 1
    assert [recipients for recipients, _ in receiver.taken] == [["you@example.org"]]
