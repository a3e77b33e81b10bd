"""Reasons and contexts."""

from engine.model.insert_reason import InsertReason, reason_names


def test_names_are_those_of_the_field():
    assert InsertReason.READY_QUEUE_WAS_FULL.label == "ReadyQueueWasFull"
    assert InsertReason.FAILED_DUE_TO_NULL_MX.label == "FailedDueToNullMx"
    assert str(InsertReason.MX_RESOLVED_TO_ZERO_HOSTS) == "MxResolvedToZeroHosts"


def test_a_plain_number_serves_as_context():
    mask = 0 | InsertReason.RECEIVED | InsertReason.ADMIN_REBIND

    assert reason_names(mask) == ("Received", "AdminRebind")


def test_each_reason_has_a_bit_of_its_own():
    assert sum(InsertReason) == (1 << len(InsertReason)) - 1
