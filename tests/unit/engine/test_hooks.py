"""The table of hooks is the contract's."""

from __future__ import annotations

from engine.hooks import HOOKS
from policy.hook import OnFailure

TABLE = {hook.name: hook for hook in HOOKS}

ARGUMENTS = {
    "init": (),
    "shutdown": (),
    "get_listener_parameters": ("listener", "conn"),
    "smtp_connection_accepted": ("conn",),
    "smtp_ehlo": ("domain", "conn", "extensions"),
    "smtp_auth_plain": ("authz", "authc", "password", "conn"),
    "smtp_mail_from": ("sender", "conn"),
    "smtp_rcpt_to": ("recipient", "conn"),
    "smtp_data": ("msg", "conn"),
    "smtp_split_transaction": ("msg", "conn"),
    "smtp_rewrite_response": ("status", "response", "command", "conn"),
    "get_listener_domain": ("domain", "listener", "conn"),
    "message_received": ("msg",),
    "http_auth_basic": ("user", "password"),
    "http_auth_bearer": ("token",),
    "get_acl_definition": ("resource",),
    "xfer_message_received": ("msg",),
    "get_queue_config": ("domain", "tenant", "campaign", "routing_domain"),
    "get_egress_pool": ("name",),
    "get_egress_source": ("name",),
    "get_egress_path": ("routing_domain", "egress_source", "site_name"),
    "throttle_insert_ready_queue": ("msg",),
    "message_requeued": ("msg", "response", "reasons", "attempt_counted", "delay"),
    "message_enumerated": ("msg",),
    "rebind_message": ("msg", "data"),
    "rewrite_delivery_status": ("response", "domain", "tenant", "campaign", "routing_domain"),
    "should_enqueue_log_record": ("msg", "hook_name"),
    "log_disposition": ("msg", "record"),
}
MULTIPLE = {
    "get_acl_definition",
    "get_queue_config",
    "throttle_insert_ready_queue",
    "message_requeued",
    "should_enqueue_log_record",
}


def test_names_and_arguments_are_those_of_the_contract():
    assert {name: hook.arguments for name, hook in TABLE.items()} == ARGUMENTS
    assert len(TABLE) == len(HOOKS)


def test_several_handlers_are_allowed_where_the_contract_says_so():
    assert {name for name, hook in TABLE.items() if hook.multiple} == MULTIPLE


def test_waiting_is_bounded_longer_at_reception():
    assert TABLE["smtp_data"].wait_budget_s == 30
    assert TABLE["get_queue_config"].wait_budget_s == 10


def test_failure_rules_fit_the_stage():
    assert TABLE["message_received"].on_failure is OnFailure.REFUSE
    assert TABLE["get_queue_config"].on_failure is OnFailure.KEEP_LAST
    assert TABLE["throttle_insert_ready_queue"].on_failure is OnFailure.DEFER
    assert TABLE["log_disposition"].on_failure is OnFailure.IGNORE
    assert TABLE["init"].on_failure is OnFailure.FATAL


def test_every_hook_is_explained():
    assert all(hook.doc.endswith(".") for hook in HOOKS)
