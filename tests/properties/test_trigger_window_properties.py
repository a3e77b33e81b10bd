"""Windows count as a plain list of all records would, in whatever order the records come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsa.trigger_window import BUCKETS, KEPT_PERIODS, ProportionWindow, ThresholdWindow

PERIOD_S = 60.0
INSTANTS = st.lists(
    st.integers(0, 600).map(lambda tenth: 1000.0 + tenth / 2), min_size=1, max_size=60
)


def newest_full(instants, count):
    """Return the newest end of a period with enough matches, by looking at all of them."""
    ends = [
        end for end in instants if sum(end - PERIOD_S < one <= end for one in instants) >= count
    ]
    return max(ends, default=None)


@given(INSTANTS, st.integers(1, 5))
def test_records_in_order_reach_a_threshold_when_their_period_is_full(instants, count):
    window = ThresholdWindow(count, PERIOD_S)
    seen = []
    for at in sorted(instants):
        seen.append(at)
        is_reached = window.add(at)
        within = sum(at - PERIOD_S < one <= at for one in seen)
        assert is_reached == (within >= count)
        assert len(window.instants) <= KEPT_PERIODS * count


@given(st.data(), st.integers(15, 30))
def test_the_order_of_records_does_not_change_when_a_threshold_was_last_reached(data, count):
    instants = data.draw(INSTANTS)
    ends = []
    for order in (sorted(instants), instants, data.draw(st.permutations(instants))):
        window = ThresholdWindow(count, PERIOD_S)
        reached = [window.add(at) for at in order]
        ends.append(window.full_at)
        assert any(reached) == (window.full_at is not None)

    assert ends == [newest_full(instants, count)] * 3


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=80))
def test_a_proportion_counts_the_buckets_of_the_period_that_ends_with_the_record(records):
    window = ProportionWindow(PERIOD_S)
    restarted = ProportionWindow(PERIOD_S)
    width_s = PERIOD_S / BUCKETS
    seen = []
    for tenths, is_match in records:
        at = 1000.0 + tenths / 4
        number = int(at / width_s)
        seen.append((number, is_match))
        within = [one for other, one in seen if number - BUCKETS < other <= number]
        expected = (len(within), sum(within))

        assert window.add(at, is_match=is_match) == expected
        assert restarted.add(at, is_match=is_match) == expected
        before, restarted = restarted, ProportionWindow(PERIOD_S)
        restarted.set_state({key: list(bucket) for key, bucket in before.state().items()})
