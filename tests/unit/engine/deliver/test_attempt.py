"""The outcome of one try."""

from engine.deliver.attempt import TransactionResult


def test_a_result_that_says_nothing_leaves_the_connection_usable():
    result = TransactionResult()

    assert result.usable
    assert not result.not_begun
    assert result.outcomes == result.retry_now == []
