"""``mta.xfer``: what scripts do with messages that another node shall have."""

import pytest

from engine.base.clock import Clock
from engine.model.message import Message, new_spool_id
from engine.model.transfer_state import INFO, restore
from engine.script_metadata import DIRTY_ENVELOPE
from engine.script_transfer import MODULE, ScriptTransfer
from engine.script_views import MessageView
from policy.script_api import ScriptNamespace

TARGET, OTHER = "http://10.0.0.2:8000", "http://10.0.0.3:8000"
QUEUE = "http://10.0.0.2:8000/.xfer.kumomta.internal"


class World:
    """The functions, a message, and what they said."""

    def __init__(self):
        self.xfer = ScriptTransfer()
        self.learned, self.noted = [], []
        clock = Clock(lambda: 50.0, lambda: 2_000_000_000.0)
        self.xfer.connect(
            clock,
            lambda target: self.learned.append(target),
            lambda _message, *what: self.noted.append(what),
        )
        self.message = Message(
            new_spool_id(),
            "a@x.test",
            ["b@y.test"],
            data=b"x",
            size=1,
            created_at=1_900_000_000.0,
            due_mono=80.0,
            meta={"tenant": "shop"},
            attempts=2,
        )
        self.msg = MessageView(self.message, None, clock)


@pytest.fixture
def world():
    return World()


def test_a_message_is_set_aside_and_due_at_once(world):
    world.xfer.xfer(world.msg, TARGET)

    assert world.msg.queue_name == QUEUE
    assert world.xfer.get_xfer_target(world.msg) == TARGET + "/"
    assert world.message.due_mono == 50.0
    assert world.message.meta_dirty & DIRTY_ENVELOPE
    assert world.noted == []
    assert restore(world.message) == 2_000_000_030.0
    assert world.message.attempts == 2


def test_with_a_reason_the_move_is_recorded(world):
    world.xfer.xfer(world.msg, TARGET, reason="full")
    assert world.noted == [("shop@y.test", QUEUE, "full")]


def test_a_message_that_goes_there_already_is_left_alone(world):
    world.xfer.xfer(world.msg, TARGET)
    world.message.meta_dirty = 0
    world.xfer.xfer(world.msg, TARGET + "/", reason="again")

    assert (world.message.meta_dirty, world.noted) == (0, [])


def test_one_that_goes_elsewhere_goes_here_instead_as_it_was_first(world):
    world.xfer.xfer(world.msg, TARGET)
    world.xfer.xfer(world.msg, OTHER, reason="better")

    assert world.xfer.get_xfer_target(world.msg) == OTHER + "/"
    assert world.message.meta[INFO]["tenant"] == "shop"
    assert world.noted == [(QUEUE, "http://10.0.0.3:8000/.xfer.kumomta.internal", "better")]


def test_credentials_are_remembered_and_not_shown_to_the_script(world):
    world.xfer.xfer(world.msg, "http://ann:s3cret@10.0.0.2:8000")

    (learned,) = world.learned
    assert (learned.user, learned.password) == ("ann", "s3cret")
    assert world.xfer.get_xfer_target(world.msg) == TARGET + "/"
    assert "s3cret" not in repr(world.message.meta)


@pytest.mark.parametrize(("counted", "attempts"), [(True, 3), (False, 2)])
def test_in_requeue_the_attempt_and_the_delay_go_along(world, counted, attempts):
    world.xfer.xfer_in_requeue(world.msg, TARGET, ["LoggedTransientFailure"], counted, 600)

    assert restore(world.message) == 2_000_000_600.0
    assert world.message.attempts == attempts


@pytest.mark.parametrize(("delay", "due_at"), [(None, 2_000_000_000.0), ("2m", 2_000_000_120.0)])
def test_in_requeue_the_delay_may_be_text_or_nothing(world, delay, due_at):
    world.xfer.xfer_in_requeue(world.msg, TARGET, (), False, delay, "full")
    assert world.noted == [("shop@y.test", QUEUE, "full")]
    assert restore(world.message) == due_at


def test_a_message_is_brought_back(world):
    world.xfer.xfer(world.msg, TARGET)
    world.xfer.cancel_xfer(world.msg, "stays")

    assert world.xfer.get_xfer_target(world.msg) is None
    assert world.message.meta == {"tenant": "shop"}
    assert (world.message.due_mono, world.message.attempts) == (80.0, 2)
    assert world.noted == [(QUEUE, "shop@y.test", "stays")]


def test_a_message_that_goes_nowhere_else_is_not_touched_by_a_cancellation(world):
    world.xfer.cancel_xfer(world.msg, "stays")
    assert (world.noted, world.message.meta_dirty) == ([], 0)


def test_a_message_without_a_queue_can_be_moved_too(world):
    world.message.recipients = ["b@-nonsense-"]
    world.xfer.xfer(world.msg, TARGET, "away")
    assert world.noted == [("", QUEUE, "away")]


def test_a_wrong_target_or_message_is_an_error_of_the_script(world):
    with pytest.raises(ValueError, match="URL of a node"):
        world.xfer.xfer(world.msg, "y.test")
    with pytest.raises(TypeError, match="message"):
        world.xfer.get_xfer_target("no message")
    assert world.message.meta == {"tenant": "shop"}


def test_before_the_node_is_up_nothing_is_remembered_nor_recorded(world):
    unconnected = ScriptTransfer()
    unconnected.xfer(world.msg, "http://ann:s3cret@10.0.0.2:8000", "why")
    assert world.msg.queue_name == QUEUE


def test_scripts_import_them_by_the_name_of_the_reference():
    namespace = ScriptNamespace()
    ScriptTransfer().expose(namespace)
    assert set(namespace._names[MODULE]) == {
        *("xfer", "xfer_in_requeue", "cancel_xfer", "get_xfer_target")
    }
