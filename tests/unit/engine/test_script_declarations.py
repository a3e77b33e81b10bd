"""What ``init`` declares can be compared: equal where nothing changed, and shared by nobody."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from engine.base.disk_guard import Floor
from engine.model.cidr import CidrSet
from engine.script_declarations import (
    AutomationDeclaration,
    Declarations,
    HttpListenerDeclaration,
    LogHookDeclaration,
    SpoolDeclaration,
)


def spool():
    return SpoolDeclaration(Path("/var/spool/cirrus"))


def listener():
    hosts = CidrSet.parse(["127.0.0.1", "192.0.2.0/24"])
    return HttpListenerDeclaration(("127.0.0.1", 8000), "mta.test", hosts)


def hook():
    return LogHookDeclaration(
        "webhook", meta=("tenant",), per_record={"Delivery": {"enable": False}}
    )


def automation():
    return AutomationDeclaration(publish=("http://tsa.test:8008",), subscribe=("http://a.test",))


@pytest.mark.parametrize("make", [spool, listener, hook, automation])
def test_what_is_declared_twice_alike_is_equal(make):
    assert make() == make()
    assert make() is not make()


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (spool, {"path": Path("/var/spool/other")}),
        (spool, {"durability": "deferred"}),
        (spool, {"min_free_space": Floor(0.5, 1)}),
        (spool, {"min_free_inodes": Floor(0.5, 1)}),
        (listener, {"listen": ("127.0.0.1", 8001)}),
        (listener, {"trusted_hosts": CidrSet.parse(["127.0.0.1"])}),
        (listener, {"request_body_limit": 1}),
        (listener, {"tls_certificate": "/etc/tls.pem"}),
        (hook, {"back_pressure": 1}),
        (hook, {"headers": ("Subject",)}),
        (hook, {"per_record": {}}),
        (automation, {"publish": ()}),
        (automation, {"subscribe": ("http://b.test", "http://a.test")}),
        (automation, {"skipped": frozenset()}),
        (automation, {"pre_filter": False}),
        (automation, {"publish_timeout_s": 1.0}),
    ],
)
def test_any_difference_is_seen(make, change):
    assert replace(make(), **change) != make()


@pytest.mark.parametrize("make", [spool, listener, hook, automation])
def test_a_declaration_cannot_be_changed_behind_the_back_of_who_compares(make):
    made = make()

    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, "other")


def test_a_run_of_init_begins_with_nothing():
    first, second = Declarations(), Declarations()
    assert first == second

    first.listeners["127.0.0.1", 25] = object()
    first.http_listeners["127.0.0.1", 8000] = listener()
    first.log_hooks["webhook"] = hook()
    first.local_logs["/var/log"] = {}
    first.memory_limits["soft"] = 1
    first.warnings.append("odd")

    assert second == Declarations()
