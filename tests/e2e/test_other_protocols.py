"""Mail that leaves otherwise than by SMTP: LMTP, a maildir, a function of the script."""

from __future__ import annotations

import time

import pytest

from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_lmtp_gives_each_recipient_its_own_end(make_node):
    tries: list[str] = []

    def judge(stage, address):
        if stage == "rcpt":
            tries.append(address)
        elif address.startswith("full") and tries.count(address) == 1:
            return "452 4.2.2 mailbox full"
        elif address.startswith("gone"):
            return "550 5.1.1 no such mailbox"
        return None

    with LoopbackSink(judge, lmtp=True).listening() as host:
        node = make_node(
            sink=host.port,
            listener="batch_handling='BatchByDomain'",
            path="use_lmtp=True, max_recipients_per_batch=10",
            queue="retry_interval='300ms'",
        )
        with node.running():
            node.send("for four", "one@y.test", "full@y.test", "gone@y.test", "two@y.test")
            deliveries = node.wait_records("Delivery", 2)

    assert [m.recipients for m in host.taken] == [["one@y.test", "two@y.test"], ["full@y.test"]]
    assert node.summary() == {"Reception": 1, "Delivery": 2, "TransientFailure": 1, "Bounce": 1}
    assert {record["delivery_protocol"] for record in deliveries} == {"LMTP"}
    assert tries.count("one@y.test") == 1


def test_a_maildir_gets_each_message_as_a_file(make_node, tmp_path):
    boxes = tmp_path / "boxes"
    path = f"{boxes}/{{{{domain_part}}}}/{{{{local_part}}}}"
    node = make_node(queue=f"protocol={{'maildir': {{'path': {path!r}}}}}")

    with node.running():
        node.send("first", "anna@y.test")
        node.send("second", "anna@y.test")
        node.send("third", '"../../up"@y.test')
        deliveries = node.wait_records("Delivery", 3)

    files = [path.read_bytes() for path in (boxes / "y.test" / "anna" / "new").iterdir()]
    assert sorted(text.partition(b"Subject: ")[2][:5] for text in files) == [b"first", b"secon"]
    assert all(b"\r" not in text and b"Received: from c.test" in text for text in files)
    everything = [p for p in tmp_path.rglob("new/*") if p.is_file()]
    assert len(everything) == 3
    assert all(boxes / "y.test" in path.parents for path in everything)
    assert list(tmp_path.rglob("tmp/*")) == []
    assert {record["delivery_protocol"] for record in deliveries} == {"Maildir"}


def test_a_maildir_that_cannot_be_written_defers(make_node, tmp_path):
    (tmp_path / "boxes").write_text("a file where a folder should be\n")
    path = f"{tmp_path}/boxes/{{{{local_part}}}}"
    node = make_node(queue=f"protocol={{'maildir': {{'path': {path!r}}}}}, retry_interval='500ms'")

    with node.running():
        node.send("first", "anna@y.test")
        (record,) = node.wait_records("TransientFailure", 1)[:1]
        (tmp_path / "boxes").unlink()
        node.wait_records("Delivery", 1)

    assert record["response"]["code"] == 451
    assert str(tmp_path) not in record["response"]["content"]
    assert len(list((tmp_path / "boxes" / "anna" / "new").iterdir())) == 1


SENDER = """
TRIES = {}

async def sender(msg):
    user = msg.recipient.user
    if user == "later" and msg.num_attempts == 0:
        mta.reject(451, "4.7.1 later")
    if user == "never":
        mta.reject(550, "5.7.1 never")
    if user == "broken" and msg.num_attempts == 0:
        return {}["nothing"]
    return "handed over " + user
"""


def test_a_function_of_the_script_sends(make_node):
    node = make_node(top=SENDER, queue="protocol={'script': {'sender': sender}}, retry_interval=1")

    with node.running():
        for name in ("now", "later", "never", "broken"):
            node.send(name, f"{name}@y.test")
        deliveries = node.wait_records("Delivery", 3)
        bounces = node.wait_records("Bounce", 1)

    said = {record["recipient"]: record for record in deliveries}
    assert said["now@y.test"]["response"]["content"] == "handed over now"
    assert {record["delivery_protocol"] for record in deliveries} == {"Script"}
    assert said["later@y.test"]["num_attempts"] == said["broken@y.test"]["num_attempts"] == 1
    assert [record["recipient"] for record in bounces] == ["never@y.test"]
    assert node.summary() == {"Reception": 4, "Delivery": 3, "TransientFailure": 2, "Bounce": 1}


def test_a_batch_is_handed_over_together(make_node):
    top = """
def sender(messages):
    names = [msg.recipient.user for msg in messages]
    return str(len(names)) + " together"
"""
    protocol = "{'script': {'sender': sender, 'batch_size': 5, 'min_batch_size': 5, "
    protocol += "'max_batch_latency': '5s'}}"
    node = make_node(top=top, queue=f"protocol={protocol}", path="connection_limit=1")

    with node.running():
        started = time.monotonic()
        for index in range(10):
            node.send(str(index), f"u{index}@y.test")
        deliveries = node.wait_records("Delivery", 10)
        took_s = time.monotonic() - started

    assert {record["response"]["content"] for record in deliveries} == {"5 together"}
    assert took_s < 5.0


def test_records_become_messages_for_a_function_of_the_script(make_node, sink):
    top = """
def webhook(msg):
    record = msg.get_meta("log_record")
    return "told of " + record["type"] + " of " + str(record["recipient"])
"""
    handlers = """
    @on("should_enqueue_log_record")
    def should_enqueue_log_record(msg, hook_name):
        record = msg.get_meta("log_record")
        if record["type"] == "Reception":
            return False
        msg.set_meta("queue", "webhook.test")
        return True
    """
    node = make_node(
        handlers,
        top=top,
        init="mta.configure_log_hook(name='hook')",
        queue="{'protocol': {'script': {'sender': webhook}}} if domain == 'webhook.test' else {}",
    )

    with node.running():
        node.send("first")
        wait_until("it", lambda: sink.taken)
        deliveries = node.wait_records("Delivery", 2)

    told = [r["response"]["content"] for r in deliveries if r["delivery_protocol"] == "Script"]
    # One for the delivery, and none for the delivery of the record itself.
    assert told == ["told of Delivery of b@y.test"]
    assert node.summary() == {"Reception": 1, "Delivery": 2}


@pytest.mark.parametrize(
    "answer", ["return True", "msg.set_meta('tenant', None)", "msg.set_meta('queue', 'null')"]
)
def test_a_record_never_goes_to_those_whose_mail_it_is_about(make_node, sink, answer):
    handlers = f"""
    @on("should_enqueue_log_record")
    def should_enqueue_log_record(msg, hook_name):
        print("asked about", msg.get_meta("log_record")["type"])
        {answer}
    """
    node = make_node(handlers, init="mta.configure_log_hook(name='hook')")

    with node.running():
        node.send("first")
        node.wait_log("asked about Delivery")
        node.send("second")
        node.wait_log("asked about Delivery", 2)

    assert len(sink.taken) == 2
    assert node.summary() == {"Reception": 2, "Delivery": 2}
    unrouted = node.log_text().count("records of the log hook hook go nowhere")
    assert unrouted == (0 if "null" in answer else 1)
