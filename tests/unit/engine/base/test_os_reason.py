"""The system's own words for a failure, whatever the event loop made of them."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from engine.base.os_reason import os_reason


def test_the_number_says_it_not_the_text():
    assert os_reason(OSError(errno.ENOSPC, "some other words")) == "No space left on device"


def test_without_a_number_the_text_has_to_do():
    assert os_reason(OSError("Multiple exceptions: a, b")) == "Multiple exceptions: a, b"
    assert os_reason(TimeoutError()) == "TimeoutError"


def test_a_name_that_does_not_resolve_is_no_unknown_error():
    error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    assert os_reason(error) == "Temporary failure in name resolution"


@pytest.mark.real_time
async def test_a_refused_connection_names_no_address():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:
            await asyncio.open_connection(*closed.getsockname())
    assert os_reason(caught.value) == "Connection refused"
