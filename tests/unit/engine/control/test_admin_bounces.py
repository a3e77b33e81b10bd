"""Admin bounces."""

from engine.control.admin_bounces import AdminBounceRegistry
from engine.model.suspension import Criteria


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def test_bounces_what_it_covers_until_it_ends():
    time = Time()
    registry = AdminBounceRegistry(time)
    assert registry.is_empty
    assert registry.find("t@d") is None

    registry.add(Criteria(tenant="t"), "left us", "who", 60)

    assert registry.find("t@d").reason == "left us"
    assert registry.find("d") is None
    assert registry.next_expiry_mono == 60
    time.now = 60
    assert registry.find("t@d") is None
    assert registry.is_empty


def test_lists_cancels_and_tells():
    registry = AdminBounceRegistry(Time())
    told = []
    registry.on_change.append(lambda: told.append(registry.generation))
    made = registry.add(Criteria(), "", "", 60)

    assert registry.list() == (made,)
    assert registry.cancel(made.id)
    assert registry.list() == ()
    assert told == [1, 2]
