"""Refusals of operations."""

from engine.admin.errors import OperationRefusedError, Refusal


def test_a_refusal_says_kind_text_and_argument():
    refused = OperationRefusedError(Refusal.WRONG, "no such thing", "name")

    assert (refused.refusal, str(refused), refused.field) == (
        Refusal.WRONG,
        "no such thing",
        "name",
    )
