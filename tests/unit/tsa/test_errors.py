"""Each situation has an error of its own, and says whether waiting helps."""

from __future__ import annotations

import pytest

from tsa import errors


@pytest.mark.parametrize(
    ("kind", "is_temporary"),
    [
        (errors.IntakeFullError, True),
        (errors.StoreUnavailableError, True),
        (errors.ConfigurationError, False),
    ],
)
def test_an_error_says_whether_it_is_worth_trying_again(kind, is_temporary):
    error = kind("reason")

    assert isinstance(error, errors.TsaError)
    assert error.temporary is is_temporary
    assert str(error) == "reason"
