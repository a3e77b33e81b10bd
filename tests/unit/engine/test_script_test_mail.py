"""Messages under test are as they come in, and say what became of them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from engine.base.clock import Clock
from engine.model.reply import make_reply
from engine.script_refusals import CloseMode, SmtpRefusal
from engine.script_test_mail import Refusal, make_mail, make_signing_key, refusal_of
from policy.testing import ManualTime

TIME = ManualTime()
CLOCK = Clock(TIME, lambda: 1_900_000_000.0 + TIME())


def test_a_message_has_the_fields_that_every_message_has():
    mail = make_mail(CLOCK, "one\ntwo", sender="a@x.test", recipients=["b@y.test", "c@y.test"])

    assert mail.content == (
        b"From: a@x.test\r\nTo: b@y.test, c@y.test\r\nSubject: test\r\n\r\none\r\ntwo\r\n"
    )


def test_a_field_is_replaced_in_any_case_left_out_or_given_twice():
    mail = make_mail(CLOCK, headers={"subject": "hi", "To": None, "X-Tag": ["a", "b"]})

    assert mail.header("Subject") == "hi"
    assert mail.header("To") is None
    assert mail.headers("x-tag") == ["a", "b"]


def test_raw_content_gets_the_line_ends_of_the_wire():
    assert make_mail(CLOCK, raw=b"Subject: x\n\nhello").content == b"Subject: x\r\n\r\nhello\r\n"
    with pytest.raises(ValueError, match="either raw or headers"):
        make_mail(CLOCK, raw=b"x", headers={"To": "x"})


def test_what_handlers_change_shows():
    mail = make_mail(CLOCK, recipients=["b@y.test"], meta={"tenant": "shop"}, num_attempts=2)
    view = mail.view()

    view.set_recipient("c@z.test")
    view.set_meta("campaign", "spring")
    view.set_due("2040-01-01T00:00:00Z")

    assert (mail.queue_name, mail.recipients) == ("spring:shop@z.test", ["c@z.test"])
    assert mail.meta == {"tenant": "shop", "campaign": "spring"}
    assert mail.num_attempts == 2
    assert mail.delay_s > 86_400
    assert mail.id == view.id


def test_a_message_is_signed_in_events_of_reception_only():
    mail = make_mail(CLOCK)

    with pytest.raises(ValueError, match="mail is signed when it is received"):
        mail.view("message_requeued").dkim_sign(None)
    with pytest.raises(TypeError, match="wants a signer"):
        mail.view("message_received").dkim_sign(None)


def test_a_refusal_has_code_text_and_what_becomes_of_the_connection():
    refusal = SmtpRefusal(make_reply(550, "5.1.1 nobody"), CloseMode.FORCE)

    assert refusal_of(refusal) == Refusal(550, "5.1.1 nobody", "ForceDisconnect")


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("rsa", rsa.RSAPrivateKey), ("ed25519", ed25519.Ed25519PrivateKey)],
)
def test_a_key_for_signing_is_new_each_time(algorithm, kind):
    texts = {make_signing_key(algorithm) for _ in range(2)}

    assert len(texts) == 2
    for text in texts:
        assert isinstance(serialization.load_pem_private_key(text.encode(), None), kind)
