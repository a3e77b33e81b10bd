"""Replies that say the same have the same pattern."""

from __future__ import annotations

import pytest

from engine.script_modules.reply_pattern import CHARACTERS_MAX, normalize_smtp_response


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("550 5.1.1 <joe@x.test>: user unknown", "550 5.1.1 <{email}>: user unknown"),
        ("blocked [192.0.2.1]", "blocked [{ipaddr}]"),
        ("blocked 2001:db8::1.", "blocked {ipaddr}."),
        ("from=a.b+c@x.test to=1.2.3.4", "from={email} to={ipaddr}"),
        ("queued as 4Xyz12AbCdE", "queued as {base64}"),
        ("id 7f9c0a1b2c3d4e5f", "id {hash}"),
        ("id=0199e1f0-0000-7000-8000-000000000001", "id={uuid}"),
        ("at 2024-01-02T03:04:05Z, later", "at {timestamp}, later"),
        ("on Tue, 02 Jan 2024 03:04:05 +0000", "on {timestamp}"),
        ("since 1700000000", "since {timestamp}"),
        ("a9-20020a05 - gsmtp", "{base64} - gsmtp"),
        ("size 10485760 exceeds 1000", "size 10485760 exceeds 1000"),
        ("TLS 1.2 required, see https://x.test/help", None),
        ("Requested action not taken: mailbox unavailable", None),
        ("MailChannels OverQuota", None),
        ("4.7.0 Temporary System Problem. Try again later (10)", None),
        ("", None),
        ("a= =b = ==", None),
    ],
)
def test_patterns(text, pattern):
    assert normalize_smtp_response(text) == (text if pattern is None else pattern)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "421 4.7.0 [10.1.1.1 15] unusual rate. d2e1a72fcca58-71b5d.23 - gsmtp",
            "421 4.7.0 [10.9.9.9 15] unusual rate. 98e67ed59e1d1-2e0c2.77 - gsmtp",
        ),
        ("250 2.0.0 Ok: queued as 1A2B3C4D5E", "250 2.0.0 Ok: queued as 9F8E7D6C5B"),
    ],
)
def test_replies_that_differ_in_an_identifier_only_have_one_pattern(one, other):
    assert normalize_smtp_response(one) == normalize_smtp_response(other)


def test_a_pattern_is_its_own_pattern():
    pattern = normalize_smtp_response("550 <joe@x.test> 10.1.1.1 id=4Xyz12AbCdE")

    assert normalize_smtp_response(pattern) == pattern


@pytest.mark.parametrize("text", ["a@" * 8000, "=" * 16000, "1-" * 8000, "a=" * 8000, ":" * 16000])
def test_odd_texts_take_no_long_time(text):
    assert len(normalize_smtp_response(text)) < 3 * CHARACTERS_MAX


def test_the_beginning_of_a_long_reply_counts():
    assert normalize_smtp_response("word " * 100_000) == ("word " * CHARACTERS_MAX)[:CHARACTERS_MAX]


def test_only_text_is_a_reply():
    with pytest.raises(TypeError, match="wants the text"):
        normalize_smtp_response(5)
