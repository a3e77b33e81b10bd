"""Who was told what in a transaction."""

from engine.deliver.recipient_tally import RecipientTally
from engine.model.reply import make_reply

OK = make_reply(250, "2.1.5 ok")
MANY = make_reply(452, "4.5.3 too many")
FULL = make_reply(452, "no room")
GONE = make_reply(550, "5.1.1 who")
CLOSING = make_reply(421, "4.3.2 closing")


def tally(*replies):
    made = RecipientTally([f"r{number}" for number in range(len(replies))])
    for recipient, reply in zip(made.recipients, replies, strict=True):
        made.note_rcpt(recipient, reply)
    return made


def shown(result):
    return {one.recipient: f"{one.disposition.name} {one.reply.code}" for one in result.outcomes}


def test_the_final_reply_is_for_those_who_were_accepted():
    made = tally(OK, GONE, OK)
    made.settle_accepted(OK)

    assert shown(made.result()) == {
        "r0": "DELIVERED 250",
        "r1": "FAILED 550",
        "r2": "DELIVERED 250",
    }


def test_what_was_said_stands_when_the_connection_breaks():
    made = tally(OK, GONE)
    made.break_off(CLOSING)

    assert shown(made.result()) == {"r0": "DEFERRED 421", "r1": "FAILED 550"}
    assert not made.result().usable


def test_a_permanent_reply_that_ends_the_connection_fails_nobody_else():
    made = tally(OK)
    made.break_off(make_reply(554, "5.0.0 go away"))

    assert shown(made.result()) == {"r0": "DEFERRED 554"}


def test_those_beyond_what_the_host_takes_are_for_another_transaction():
    made = tally(OK, MANY, FULL)
    made.settle_accepted(OK)

    result = made.result()
    assert shown(result) == {"r0": "DELIVERED 250"}
    assert result.retry_now == ["r1", "r2"]


def test_too_many_is_an_ordinary_deferral_for_the_first():
    made = tally(MANY, OK)
    made.settle_accepted(OK)

    assert shown(made.result()) == {"r0": "DEFERRED 452", "r1": "DELIVERED 250"}


def test_a_host_that_takes_nobody_ends_it_at_once():
    result = tally(MANY, MANY, FULL).result()

    assert result.retry_now == []
    assert set(shown(result).values()) == {"DEFERRED 452"}


def test_no_other_transaction_follows_on_a_broken_connection():
    made = tally(OK, MANY)
    made.break_off(CLOSING)

    assert made.result().retry_now == []
    assert shown(made.result()) == {"r0": "DEFERRED 421", "r1": "DEFERRED 452"}


def test_a_refusal_of_mail_is_for_all():
    made = RecipientTally(["a", "b"])
    made.refuse_all(GONE, "MAIL FROM:<>")

    assert shown(made.result()) == {"a": "FAILED 550", "b": "FAILED 550"}


def test_a_positive_reply_where_none_belongs_delivers_nothing():
    made = tally(OK)
    made.refuse_all(OK, "DATA")

    assert shown(made.result()) == {"r0": "DEFERRED 250"}
