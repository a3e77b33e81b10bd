"""Keys and passwords from where they are kept.

A key source is the name of a file (anywhere the node may read), ``{"key_data": text}``,
``{"env": NAME}``, ``{"function": function, "args": [...]}``, or the place of a secret in HashiCorp
Vault: ``{"vault_mount": ..., "vault_path": ..., "vault_key": "key"}``. A source that gives nothing
is an error that ``except Exception`` catches.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

_KeySource: TypeAlias = str | Mapping[str, Any]

def read(source: _KeySource) -> bytes:
    """The secret of a source that needs no waiting: a file, inline, the environment.

    >>> mta.secrets.read({"key_data": "s3cret"})
    b's3cret'
    """

async def load(source: _KeySource) -> bytes:
    """The secret of any source.

    >>> await mta.secrets.load({"function": lambda name: name + "!", "args": ["x"]})
    b'x!'
    """
