"""The host key of a console."""

from __future__ import annotations

import stat

import asyncssh
import pytest

from engine.console.host_key import settle_host_key
from engine.model.errors import ConfigurationError


def test_the_first_start_makes_a_key_that_nobody_else_can_read(tmp_path):
    path = tmp_path / "new" / "host_key"

    made = settle_host_key(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.get_algorithm() == "ssh-ed25519"
    assert [one.name for one in path.parent.iterdir()] == ["host_key"]
    assert settle_host_key(path).get_fingerprint() == made.get_fingerprint()


def test_a_key_of_the_operator_is_used_as_it_is(tmp_path):
    path = tmp_path / "host_key"
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    path.write_bytes(key.export_private_key())
    path.chmod(0o400)

    assert settle_host_key(path).get_fingerprint() == key.get_fingerprint()


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    path = tmp_path / "host_key"
    settle_host_key(path)
    path.chmod(0o640)

    with pytest.raises(ConfigurationError, match="others may read this private key"):
        settle_host_key(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAA=="])
def test_what_is_no_key_is_said_and_never_replaced(tmp_path, content):
    path = tmp_path / "host_key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match="host key"):
        settle_host_key(path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="Not a directory|File exists"):
        settle_host_key(tmp_path / "file" / "host_key")
