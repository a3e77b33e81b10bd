"""``cirrus demo`` tells a true story, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from rich.console import Console

from engine.model.log_record import LogRecord, RecordKind, SourceAddress
from engine.tools.demo import MEANINGS, judge, judge_addresses, tell, unsettled
from engine.tools.demo_world import DemoFailedError, Story, World

ROOT = Path(__file__).resolve().parents[4]
SENT = {"accepted": 2, "refused": 1}
GOT = {"messages": 1, "replies": {"rcpt": {"250": 1, "451": 1, "550": 1}}}


def sent_from(source: str, address: str) -> LogRecord:
    return LogRecord(
        kind=RecordKind.DELIVERY, egress_source=source, source_address=SourceAddress(address)
    )


BOTH = [sent_from("ip-1", "127.0.0.11"), *[sent_from("ip-2", "127.0.0.12")] * 2]


def test_mail_from_every_address_that_the_sink_saw_is_a_true_story():
    judge_addresses([*BOTH, *a_true_story()], {"clients": {"127.0.0.11": 1, "127.0.0.12": 2}})


@pytest.mark.parametrize(
    ("records", "clients", "reason"),
    [
        ([], {}, "not leave by all sources of the proxy: none"),
        (BOTH[:1], {"127.0.0.11": 1}, "all sources of the proxy: ip-1 from 127.0.0.11"),
        ([*BOTH, sent_from("ip-1", "127.0.0.1")], {}, "ip-1 from 127.0.0.1, ip-1 from 127.0.0.11"),
        (BOTH, {"127.0.0.11": 2, "127.0.0.12": 1}, "but came from"),
        (BOTH, {"127.0.0.11": 1, "127.0.0.12": 2, "127.0.0.1": 1}, "but came from"),
    ],
)
def test_mail_from_elsewhere_fails_the_story(records, clients, reason):
    with pytest.raises(DemoFailedError, match=reason):
        judge_addresses(records, {"clients": clients})


def record(kind: RecordKind, message: str) -> LogRecord:
    return LogRecord(kind=kind, id=message)


def a_true_story() -> list[LogRecord]:
    return [
        record(RecordKind.RECEPTION, "1"),
        record(RecordKind.RECEPTION, "2"),
        record(RecordKind.TRANSIENT_FAILURE, "1"),
        record(RecordKind.DELIVERY, "1"),
        record(RecordKind.BOUNCE, "2"),
        record(RecordKind.REJECTION, "3"),
    ]


def test_a_true_story_passes():
    judge(a_true_story(), SENT, GOT)


@pytest.mark.parametrize("kind", MEANINGS)
def test_a_story_without_one_of_its_outcomes_fails(kind):
    rest = [each for each in a_true_story() if each.kind is not kind]
    with pytest.raises(DemoFailedError, match=kind.value):
        judge(rest, SENT, GOT)


def test_a_message_without_an_end_fails_the_story():
    records = [*a_true_story(), record(RecordKind.RECEPTION, "4")]
    assert unsettled(records) == {"4"}
    with pytest.raises(DemoFailedError, match="1 messages are not accounted for"):
        judge(records, SENT, GOT)


@pytest.mark.parametrize(
    ("sent", "got", "reason"),
    [
        (SENT, {**GOT, "messages": 2}, "1 records of type Delivery, but the sink counted 2"),
        (SENT, {**GOT, "messages": 0}, "1 records of type Delivery, but the sink counted 0"),
        ({**SENT, "accepted": 3}, GOT, "2 records of type Reception, but the traffic counted 3"),
    ],
)
def test_records_that_disagree_with_the_other_end_fail_the_story(sent, got, reason):
    with pytest.raises(DemoFailedError, match=reason):
        judge(a_true_story(), sent, got)


@contextlib.contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "engine.tools.demo", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "COLUMNS": "100"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = ""
    while text not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def children_of(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_whole_demonstration_runs_and_cleans_up(tmp_path):
    with running_demo(tmp_path) as process:
        out, _ = process.communicate(timeout=110)

    assert process.returncode == 0, out
    rows = dict(re.findall(r"│ ([A-Z]\w+) +│ +([0-9]+) │", out))
    assert set(rows) == {kind.value for kind in MEANINGS}, out
    for kind, number in rows.items():
        assert re.search(rf"{kind} +│ +{number} │ +(traffic|sink) {number} │", out), out
    received, delivered, bounced = (int(rows[k]) for k in ("Reception", "Delivery", "Bounce"))
    assert received == delivered + bounced
    last = (
        rf"{received} messages accepted: {delivered} delivered \(([0-9]+) of them on a retry\), "
        rf"{bounced} refused by their host, 0 left\.\n\Z"
    )
    retried = re.search(last, out)
    assert retried, out
    # One that was deferred twice is one that arrived on a retry.
    assert 1 <= int(retried[1]) <= int(rows["TransientFailure"])
    addresses = re.findall(r"│ (ip-[12]) +│ (127[0-9.]+) │ +([0-9]+) │ +([0-9]+) │", out)
    assert [one[:2] for one in addresses] == [("ip-1", "127.0.0.11"), ("ip-2", "127.0.0.12")]
    assert [one[2] for one in addresses] == [one[3] for one in addresses]
    assert sum(int(one[3]) for one in addresses) == delivered
    before, meanwhile = re.findall(r"([0-9.]+) a second before, ([0-9.]+) once", out)[0]
    assert float(meanwhile) < float(before) / 2
    assert re.search(r"took as much as before again in second [0-9]+", out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_another_story_has_another_summary(tmp_path):
    console = Console(record=True, width=100, file=io.StringIO())
    story = Story(reply="450 4.7.28 come back much later", throttled_s=7.0)
    with World(tmp_path, time.monotonic() + 110) as world:
        tell(world, console, story=story)

    said = console.export_text()
    assert "450 4.7.28 come back much later" in said
    first, last = map(float, re.findall(r"from ([0-9.]+) s to ([0-9.]+) s", said)[0])
    assert last - first > 5.0
    rows = re.findall(r"│ +([0-9]+) │ +([0-9]*) │ +([0-9]*) │ +([0-9]*) │", said)
    deferrals = [int(deferred) for _, deferred, _, _ in rows if deferred]
    assert sum(deferrals) == sum(
        record.kind is RecordKind.TRANSIENT_FAILURE and "much later" in record.response.content
        for record in world.read_records()
    )


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_provider_that_never_defers_is_a_story_that_fails(tmp_path):
    story = Story(provider="big.example", reply="250 2.1.5 fine")
    with (
        World(tmp_path, time.monotonic() + 12) as world,
        pytest.raises(DemoFailedError, match="waited too long for a decision"),
    ):
        tell(world, Console(file=io.StringIO()), story=story)


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_keep_leaves_it_running_and_says_where(tmp_path):
    with running_demo(tmp_path, "--keep") as process:
        said = read_until(process, "cirrus traffic --target")
        node, tsa, proxy, sink = map(int, re.findall(r"pid ([0-9]+)", said))
        status = json.loads(urlopen(re.findall(r"curl (http\S+/proxy/status)", said)[0]).read())
        port = int(said.rpartition(":")[2])
        assert [is_alive(one) for one in (node, tsa, proxy, sink)] == [True] * 4
        assert status["listeners"][0]["bytes_client_to_dest"] > 0, status
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.recv(100).startswith(b"220 ")

        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 0
    assert [is_alive(one) for one in (node, tsa, proxy, sink)] == [False] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_stopped_ends_its_processes(tmp_path, number):
    with running_demo(tmp_path) as process:
        said = read_until(process, "traffic  sends")
        children = children_of(process)
        assert len(children) == 5

        for _ in range(3):  # an impatient operator
            process.send_signal(number)
            time.sleep(0.05)
        out, _ = process.communicate(timeout=30)

    assert process.returncode == 1, said + out
    assert [pid for pid in children if is_alive(pid)] == []
    assert "Traceback" not in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_node_that_ends_by_itself_is_a_failure_with_its_logs_kept(tmp_path):
    with running_demo(tmp_path, "--keep") as process:
        said = read_until(process, "cirrus traffic --target")
        node = int(re.findall(r"node +pid ([0-9]+)", said)[0])
        os.kill(node, signal.SIGKILL)
        out, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "the node ended" in out
    (folder,) = tmp_path.iterdir()
    assert (folder / "node.log").is_file()
