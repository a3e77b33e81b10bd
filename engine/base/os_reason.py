"""Why the system refused something, in its own words and without the address.

Place in flow: wherever a failure to connect or to listen is told to people.
"""

from __future__ import annotations

import os


def os_reason(error: OSError) -> str:
    """Return the reason of a failure, such as ``Connection refused``.

    The event loop puts addresses and its own words into the text of an error; several failures
    it joins into one that has no number. Numbers below zero are those of name resolution, which the
    system's table of errors does not know.
    """
    if error.errno and error.errno < 0:
        return error.strerror or str(error)
    if error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
