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


SECONDS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=80
)


@given(SECONDS, st.sampled_from([1.0, 7.0, 60.0, 90.0, 300.0]))
def test_a_proportion_counts_the_buckets_of_the_period_that_ends_with_the_second(seconds, within_s):
    window = ProportionWindow(within_s)
    restarted = ProportionWindow(within_s)
    width_s = max(1.0, within_s / BUCKETS)
    count = round(within_s / width_s)
    seen = []
    newest = 0
    for offset, attempts, matching in seconds:
        matches = min(attempts, matching)
        at = 1000 + offset
        number = int(at / width_s)
        newest = max(newest, number)
        seen.append((number, attempts, matches))
        within = [one for one in seen if number - count < one[0] <= number]
        expected = (sum(one[1] for one in within), sum(one[2] for one in within))

        found = window.add(at, attempts, matches)
        assert restarted.add(at, attempts, matches) == found
        # What is older than a whole period may be forgotten.
        if all(one[0] > newest - count for one in within):
            assert found == expected
        before, restarted = restarted, ProportionWindow(within_s)
        restarted.set_state(before.state())
