"""The file of those who may come."""

from __future__ import annotations

import asyncssh
import pytest

from engine.console.operator_keys import Operator, parse_operator_keys
from engine.model.role import Role

KEY = asyncssh.generate_private_key("ssh-ed25519", comment="ann@desk")
LINE = KEY.export_public_key().decode().strip()
PUBLIC = KEY.convert_to_public()


def find(text: str, address: str = "192.0.2.1") -> Operator | None:
    return parse_operator_keys(text).find(PUBLIC, address)


def test_a_key_alone_is_a_viewer_by_the_name_of_its_comment():
    assert find(LINE) == Operator("ann@desk", Role.VIEWER)
    assert find(f"# nobody\n\n   {LINE}  \n") == Operator("ann@desk", Role.VIEWER)


def test_role_and_name_are_options_before_the_key():
    assert find(f'role="admin",name="Ann, the \\"boss\\"" {LINE}') == Operator(
        'Ann, the "boss"', Role.ADMIN
    )
    assert find(f'restrict,no-pty,role="operator" {LINE}').role is Role.OPERATOR


def test_a_key_without_a_comment_goes_by_its_fingerprint():
    bare = " ".join(LINE.split()[:2])

    assert find(bare).name == PUBLIC.get_fingerprint()


def test_a_key_counts_only_from_where_it_may():
    line = f'from="10.0.0.0/8, 192.0.2.7" {LINE}'

    assert find(line, "10.1.2.3") is not None
    assert find(line, "192.0.2.7") is not None
    assert find(line, "192.0.2.8") is None


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ('role="root"', "no role 'root'"),
        ('role="admin",role="viewer"', "role wants one value"),
        ("role", "role wants one value"),
        ('name="a\x07b"', "not printable"),
        ('from="everywhere"', "not a network"),
        ('command="reboot"', "the option 'command' is not known"),
        ('principals="x"', "the option 'principals' is not known"),
        ("cert-authority", "the option 'cert-authority' is not known"),
        ('role="admin', "no public key"),
    ],
)
def test_a_line_that_is_not_understood_admits_nobody(options, finding):
    keys = parse_operator_keys(f"# first\n{options} {LINE}\n")

    assert keys.find(PUBLIC, "192.0.2.1") is None
    (told,) = keys.findings
    assert told.startswith("line 2: ")
    assert finding in told


@pytest.mark.parametrize("text", ["ssh-ed25519 AAAA", "hello", "ssh-ed25519", '"', ",,,", "a=b c"])
def test_what_is_no_key_is_a_finding_and_the_others_count(text):
    keys = parse_operator_keys(f"{text}\n{LINE}")

    assert len(keys.findings) == 1
    assert keys.find(PUBLIC, "192.0.2.1") is not None
