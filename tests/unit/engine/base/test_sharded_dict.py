"""Dictionaries that are walked in pieces."""

from engine.base.sharded_dict import SHARDS, ShardedDict


def filled(count):
    made = ShardedDict()
    for number in range(count):
        made[f"name-{number}"] = number
    return made


def test_it_is_a_dictionary():
    made = filled(1000)

    assert (len(made), made.get("name-7"), made.get("other")) == (1000, 7, None)
    assert sorted(made.values()) == list(range(1000))
    del made["name-7"]
    made["name-8"] = 88
    assert (len(made), made.get("name-7"), made.get("name-8")) == (999, None, 88)
    assert dict(made.items())["name-8"] == 88
    assert (made.pop("name-8"), made.pop("name-8"), len(made)) == (88, None, 998)


def test_a_walk_goes_on_while_entries_come_and_go():
    made = filled(5000)
    seen = []
    for number, value in enumerate(made.values()):
        seen.append(value)
        made[f"new-{number % 100}"] = -1
        if value > 0 and value % 2:
            del made[f"name-{value}"]

    old = [value for value in seen if value >= 0]
    assert sorted(old) == list(range(5000))


def test_a_round_gives_every_name_again_and_again_a_share_at_a_time():
    made = filled(5000)

    first = [name for _ in range(5) for name in made.take_names(1000)]
    second = [name for _ in range(5) for name in made.take_names(1000)]

    assert len(set(first)) == 5000
    assert sorted(first) == sorted(second)


def test_a_share_is_no_more_than_there_is():
    assert filled(0).take_names(10) == []
    assert len(filled(3).take_names(10)) == 3
    assert SHARDS & (SHARDS - 1) == 0
