"""Queue configurations and protocols."""

import pytest

from engine.model.queue_config import (
    MaildirProtocol,
    MxListEntry,
    NullProtocol,
    QueueConfig,
    ScriptProtocol,
    SmtpProtocol,
    make_queue_config,
    parse_mx_entry,
    to_json,
    transfer_queue_config,
)
from engine.model.retry_schedule import RetrySchedule
from engine.model.transfer_target import parse_target


def test_has_the_defaults_of_the_field():
    config = make_queue_config()

    assert config.retry == RetrySchedule(1200, None, 604800)
    assert config.egress_pool is None
    assert config.protocol == SmtpProtocol()
    assert (config.reap_interval_s, config.refresh_interval_s) == (600, 60)


def test_reads_what_operators_write():
    config = make_queue_config(
        egress_pool="pool-a",
        retry_interval="20m",
        max_retry_interval="2h",
        max_age="7d",
        max_message_rate="10/s",
        refresh_strategy="Epoch",
        provider_name="big",
    )

    assert config.retry == RetrySchedule(1200, 7200, 604800)
    assert config.max_message_rate.limit == 10
    assert (config.retry_interval_s, config.max_retry_interval_s, config.max_age_s) == (
        1200,
        7200,
        604800,
    )


@pytest.mark.parametrize(
    ("value", "entry"),
    [
        ("MX.example.", MxListEntry("mx.example")),
        ("mx.example:2525", MxListEntry("mx.example", 2525)),
        ("[127.0.0.1]", MxListEntry("[127.0.0.1]", None, ("127.0.0.1",))),
        ("[::1]:2525", MxListEntry("[::1]", 2525, ("::1",))),
        ("[IPv6:::1]", MxListEntry("[::1]", None, ("::1",))),
        ("127.0.0.1:25", MxListEntry("[127.0.0.1]", 25, ("127.0.0.1",))),
        ({"name": "mx", "addr": "127.0.0.1:26"}, MxListEntry("mx", 26, ("127.0.0.1",))),
        ({"name": "mx", "addr": "::1"}, MxListEntry("mx", None, ("::1",))),
        ({"name": "mx", "addr": "[::1]:26"}, MxListEntry("mx", 26, ("::1",))),
        ({"name": "mx:26", "addr": "127.0.0.1"}, MxListEntry("mx", 26, ("127.0.0.1",))),
        ({"name": "mx:26", "addr": "127.0.0.1:26"}, MxListEntry("mx", 26, ("127.0.0.1",))),
        ("::1", None),
    ],
)
def test_reads_hosts_of_a_list(value, entry):
    if entry is None:
        with pytest.raises(ValueError, match="brackets"):
            parse_mx_entry(value)
    else:
        assert parse_mx_entry(value) == entry


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a:0",
        "a:99999",
        "a:x",
        "[::1",
        "[x]",
        "[::1]25",
        "a b",
        5,
        {"name": "x"},
        {"name": "x", "addr": "y"},
        {"name": "x:25", "addr": "127.0.0.1:26"},
    ],
)
def test_refuses_what_names_no_host(value):
    with pytest.raises(ValueError):
        parse_mx_entry(value)


def test_reads_each_protocol():
    def send(msg):
        return "ok"

    script = make_queue_config(
        protocol={"script": {"sender": send, "batch_size": 5, "max_batch_latency": "1s"}}
    ).protocol

    assert script == ScriptProtocol(send, 5, 1, 1.0)
    assert script.label == "script:send"
    assert make_queue_config(
        protocol={"smtp": {"mx_list": ["a", "b:26"]}}
    ).protocol == SmtpProtocol((MxListEntry("a"), MxListEntry("b", 26)))
    maildir = make_queue_config(protocol={"maildir": {"path": "/m", "dir_mode": 0o700}}).protocol
    assert maildir == MaildirProtocol("/m", 0o700)
    assert maildir.label == "maildir:/m"
    assert make_queue_config(protocol="null").protocol == NullProtocol()
    assert make_queue_config(protocol={"smtp": {}}).protocol.label == "smtp_client"


@pytest.mark.parametrize(
    ("protocol", "hint"),
    [
        ({"smpt": {}}, "did you mean 'smtp'"),
        ({"smtp": {"mx": []}}, "mx_list"),
        ({"smtp": {"mx_list": []}}, "empty"),
        ({"maildir": {}}, "path is missing"),
        ({"script": {}}, "sender is missing"),
        ({"script": {"sender": "name"}}, "function"),
        ({"script": {"sender": lambda: ""}}, "takes one argument is expected"),
        ({"script": {"sender": len, "min_batch_size": 2}}, "min_batch_size"),
        ({"smtp": {}, "null": {}}, "protocol"),
        ({"smtp": []}, "protocol"),
        (5, "protocol"),
    ],
)
def test_says_what_is_wrong_with_a_protocol(protocol, hint):
    with pytest.raises(ValueError, match=hint):
        make_queue_config(protocol=protocol)


@pytest.mark.parametrize(
    ("name", "value"),
    [("retry_interval", 0), ("max_age", "x"), ("egress_pool", 5), ("strategy", "Heap")],
)
def test_a_wrong_value_names_its_option(name, value):
    with pytest.raises(ValueError, match=name):
        make_queue_config(**{name: value})


def test_an_unknown_option_is_an_error():
    with pytest.raises(TypeError, match="egress_pool"):
        make_queue_config(egress_pol="x")


def test_names_what_is_not_in_force():
    shrink = [{"interval": "1m", "policy": "NoShrink"}]

    assert QueueConfig.unsupported({"strategy": "SkipList", "shrink_policy": shrink}) == [
        "strategy is known but not yet in force",
        "shrink_policy is known but not yet in force",
    ]
    assert QueueConfig.unsupported({"egress_pool": "p", "protocol": {"smtp": {}}}) == []
    secure = {"smtp": {"mx_list": ["a"], "treat_mx_list_as_secure": True}}
    assert QueueConfig.unsupported({"protocol": secure})
    assert make_queue_config(shrink_policy=shrink).shrink_policy[0][0] == 60
    with pytest.raises(ValueError, match="shrink_policy"):
        make_queue_config(shrink_policy=[{}])


def test_shows_itself_in_plain_values():
    shown = to_json(
        make_queue_config(protocol={"smtp": {"mx_list": ["a:25"]}}, max_message_rate="1/s")
    )

    assert shown["protocol"] == {"smtp": {"mx_list": ["a:25"]}}
    assert shown["max_message_rate"] == "1/s"
    assert to_json(make_queue_config(protocol={"script": {"sender": len}}))["protocol"]["script"]
    assert to_json(make_queue_config(protocol={"maildir": {"path": "/m"}}))["protocol"]
    assert to_json(make_queue_config(protocol={"null": {}}))["protocol"] == {"null": {}}


def test_mail_of_a_queue_may_go_to_another_node():
    config = make_queue_config(protocol={"xfer": {"target": "http://ann:pw@10.0.0.2:8000"}})

    assert config.protocol.label == "xfer"
    assert config.protocol.target.user == "ann"
    assert to_json(config)["protocol"] == {"xfer": {"target": "http://10.0.0.2:8000/"}}
    with pytest.raises(ValueError, match="target: the URL of a node"):
        make_queue_config(protocol={"xfer": {"target": "y.test"}})
    with pytest.raises(ValueError, match="target is missing"):
        make_queue_config(protocol={"xfer": {}})


def test_the_queue_of_a_transfer_tries_every_ten_seconds_for_ever():
    config = transfer_queue_config(parse_target("http://10.0.0.2:8000"))

    assert (config.retry_interval_s, config.max_retry_interval_s) == (10.0, 10.0)
    assert config.max_age_s == float("inf")
    assert config.egress_pool is None
