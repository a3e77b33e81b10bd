"""Records go on to a function of the script or to a URL, and none is lost on the way."""

from __future__ import annotations

import pytest

from engine.helpers.json_post import Posted
from engine.model.queue_name import parse_queue_name
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from policy.errors import PolicyLoadError
from tests.fakes.helper_world import HelperWorld, make_message

JSON = "log_hooks.new_json(name='web', url='https://u:secret@h.example/token')\n"


class Poster:
    """Keeps what is posted, and answers as it is told."""

    def __init__(self, answer=Posted(202, "queued")) -> None:
        self.answer = answer
        self.posted = []

    async def post(self, url, body, headers, timeout_s):
        self.posted.append((url, body, dict(headers), timeout_s))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def poster():
    return Poster()


@pytest.fixture
def world(tmp_path, poster):
    made = HelperWorld(tmp_path)
    made.helpers._log_hooks._poster = poster
    return made


def queue_of(message):
    return parse_queue_name(message.meta["queue"])


def config(world, domain="web.log_hook"):
    return world.fire("get_queue_config", domain, None, None, None)


async def send(world, *bodies, domain="web.log_hook"):
    """Return what the sender of a hook answers to records."""
    protocol = config(world, domain).protocol
    views = []
    for body in bodies:
        message = make_message()
        message.data = body
        views.append(MessageView(message))
    given = views if protocol.batch_size > 1 else views[0]
    return await world.runtime.call_function(protocol.sender, given)


def test_a_hook_is_declared_each_time_init_runs(world):
    world.load(
        JSON + "log_hooks.new_json(name='b', url='http://h/', log_parameters="
        "{'headers': ['Subject'], 'back_pressure': 5})\n"
    )

    hooks = world.dry_check.declarations.log_hooks
    assert list(hooks) == ["web", "b"]
    assert (hooks["b"].headers, hooks["b"].back_pressure) == (("Subject",), 5)


def test_its_records_go_into_a_queue_of_their_own(world):
    world.load(JSON)
    message = make_message()

    assert world.handle_record(message, "web") is True
    assert message.meta["queue"] == "web.log_hook"
    assert queue_of(message).domain == "web.log_hook"


def test_records_of_other_hooks_are_left_alone(world):
    world.load(JSON)
    message = make_message()

    assert world.handle_record(message, "other") is None
    assert message.meta == {}


def test_its_queue_is_tried_soon_and_again(world):
    world.load(JSON)
    found = config(world)

    assert (found.retry_interval_s, found.max_retry_interval_s) == (60.0, 1200.0)
    assert found.protocol.label == "script:web.log_hook"
    assert config(world, "other.example") is None


def test_the_options_of_its_queue_can_be_set(world):
    world.load(JSON.replace(")\n", ", queue_config={'max_age': '5m', 'retry_interval': '5s'})\n"))
    found = config(world)

    assert (found.max_age_s, found.retry_interval_s) == (300.0, 5.0)


def test_hooks_are_told_apart(world):
    world.load(JSON + "log_hooks.new_json(name='b', url='http://h/')\n")

    labels = {config(world, f"{name}.log_hook").protocol.label for name in ("web", "b")}
    assert labels == {"script:web.log_hook", "script:b.log_hook"}


@pytest.mark.parametrize(
    ("decision", "wanted"), [("True", False), ("False", True), ("None", True), ("1 / 0", True)]
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_filter_leaves_records_out_and_one_that_fails_none(world, kind, decision, wanted):
    script = f"{kind} skip(msg):\n    return {decision}\n"
    world.load(script + JSON.replace(")\n", ", filter=skip)\n"))

    assert world.handle_record(make_message(), "web") is wanted


def test_a_filter_sees_the_record(world):
    script = "def skip(msg):\n    return msg.get_meta('log_record')['type'] == 'Reception'\n"
    world.load(script + JSON.replace(")\n", ", filter=skip)\n"))

    kinds = [
        world.handle_record(make_message(log_record={"type": kind}), "web")
        for kind in ("Reception", "Delivery")
    ]

    assert kinds == [False, True]


async def test_a_record_is_posted_as_it_is(world, poster):
    world.load(JSON.replace(")\n", ", headers={'X-Key': 'k'}, timeout='5s')\n"))

    answer = await send(world, b'{"type": "Delivery"}\r\n')

    assert answer == "202 queued"
    assert poster.posted == [
        ("https://u:secret@h.example/token", b'{"type": "Delivery"}', {"X-Key": "k"}, 5.0)
    ]


async def test_a_batch_is_posted_as_an_array(world, poster):
    world.load(JSON.replace(")\n", ", batch_size=10, min_batch_size=2)\n"))

    await send(world, b'{"n": 1}\r\n', b'{"n": 2}\r\n')

    assert poster.posted[0][1] == b'[{"n": 1},{"n": 2}]'


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (Posted(503, "busy"), "451 4.3.0 h.example answered 503 busy"),
        (Posted(404, "not found"), "451 4.3.0 h.example answered 404 not found"),
        (Posted(302, "Found"), "451 4.3.0 h.example answered 302 Found"),
        (TimeoutError(), "451 4.4.1 h.example: took too long"),
        (OSError(0, "refused"), "451 4.4.1 h.example: no answer: [Errno 0] refused"),
    ],
)
async def test_a_record_that_is_not_taken_is_tried_again(world, poster, answer, reply):
    world.load(JSON)
    poster.answer = answer

    with pytest.raises(SmtpRefusal) as caught:
        await send(world, b"{}")

    assert caught.value.reply.one_line() == reply


async def test_a_function_of_the_script_may_send(world):
    world.load(
        "def send(msg):\n    return 'took ' + msg.get_data().decode().strip()\n"
        "log_hooks.new(name='own', sender=send, batch_size=1)\n"
    )

    assert await send(world, b"record", domain="own.log_hook") == "took record"
    assert config(world, "own.log_hook").protocol.label == "script:send"


async def test_a_function_of_the_script_may_send_batches(world):
    world.load(
        "async def send(msgs):\n    return f'{len(msgs)} sent'\n"
        "log_hooks.new(name='own', sender=send, batch_size=5, max_batch_latency='2s')\n"
    )

    assert await send(world, b"a", b"b", domain="own.log_hook") == "2 sent"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("new_json(name='a b', url='http://h/')", "name: lower-case letters"),
        ("new_json(name='A', url='http://h/')", "name: lower-case letters"),
        ("new_json(name='', url='http://h/')", "name: lower-case letters"),
        ("new_json(name='a', url='h')", "a URL is expected"),
        ("new_json(name='a', url='http://h/', headers={'X Y': 'z'})", "headers: names"),
        ("new_json(name='a', url='http://h/', headers={'X': 'a\\nb'})", "headers: X: text"),
        ("new_json(name='a', url='http://h/', timeout='5')", "needs a unit"),
        ("new_json(name='a', url='http://h/', batch_size=0)", "batch_size"),
        ("new_json(name='a', url='http://h/', min_batch_size=2)", "above batch_size"),
        ("new_json(name='a', url='http://h/', filter=5)", "filter: a function"),
        (
            "new_json(name='a', url='http://h/', queue_config={'max_agee': '1m'})",
            "queue_config: unknown option 'max_agee' (did you mean 'max_age'?)",
        ),
        (
            "new_json(name='a', url='http://h/', queue_config={'protocol': 'smtp'})",
            "queue_config: unknown option 'protocol'",
        ),
        (
            "new_json(name='a', url='http://h/', log_parameters={'metta': []})",
            "did you mean 'meta'",
        ),
        (
            "new_json(name='a', url='http://h/', log_parameters={'per_record': {'Nope': {}}})",
            "Nope",
        ),
        ("new(name='a', sender='send')", "sender: a function"),
        ("new(name='a', sender=lambda: '')", "sender: a function that takes one argument"),
        ("new_json(nam='a', url='http://h/')", "nam"),
        ("new_disposition_hook(name='a', hook=lambda msg: None)", "takes 2 arguments is expected"),
        ("new_disposition_hook(name='a', hook=None)", "hook: a function"),
        ("new_disposition_hook(name='a', hook=print)", "hook: a function"),
        ("new_disposition_hook(name='', hook=lambda msg, record: None)", "name: text"),
    ],
)
def test_what_does_not_fit_is_an_error_at_the_call(world, call, message):
    with pytest.raises(PolicyLoadError) as caught:
        world.load(f"log_hooks.{call}\n")

    assert caught.value.line == 4
    assert message in caught.value.message


def test_two_hooks_of_one_name_are_an_error(world):
    with pytest.raises(PolicyLoadError, match="'web' is set up twice") as caught:
        world.load(JSON + JSON)

    assert caught.value.line == 5


def test_a_hook_that_init_declares_too_is_an_error(world):
    world.write(JSON)
    text = world.path.read_text()
    world.path.write_text(f"{text}    mta.configure_log_hook(name='web')\n")

    with pytest.raises(PolicyLoadError, match="declared twice"):
        world.runtime.load(world.path, dry_check=world.dry_check)


def test_each_disposition_hook_is_told_of_a_record(world):
    world.load(
        "def one(msg, record):\n    print('one', record['type'])\n"
        "async def two(msg, record):\n    print('two', record['type'])\n"
        "log_hooks.new_disposition_hook(name='1', hook=one)\n"
        "log_hooks.new_disposition_hook(name='2', hook=two)\n"
    )

    world.fire("log_disposition", None, {"type": "Delivery"})

    printed = [facts["text"] for event, facts in world.reports if event == "script_print"]
    assert printed == ["one Delivery", "two Delivery"]


def test_a_disposition_hook_that_fails_is_nothing_to_the_others(world):
    world.load(
        "def one(msg, record):\n    raise ValueError('no')\n"
        "def two(msg, record):\n    print('two')\n"
        "log_hooks.new_disposition_hook(name='1', hook=one)\n"
        "log_hooks.new_disposition_hook(name='2', hook=two)\n"
    )

    world.fire("log_disposition", None, {"type": "Delivery"})

    assert [event for event, _ in world.reports if event != "policy_loaded"] == [
        "handler_failed",
        "script_print",
    ]


def test_two_disposition_hooks_of_one_name_are_an_error(world):
    call = "log_hooks.new_disposition_hook(name='1', hook=f)\n"
    with pytest.raises(PolicyLoadError, match="'1' is set up twice"):
        world.load(f"def f(msg, record):\n    pass\n{call}{call}")
