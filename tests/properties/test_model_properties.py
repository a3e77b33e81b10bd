"""Round trips and bounds of the model, over generated values."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.address import AddressError, domain_of, normal_domain, parse_address
from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.egress import PoolEntry
from engine.model.queue_name import QueueName, format_queue_name, parse_queue_name
from engine.model.retry_schedule import RetrySchedule, is_expired, next_delay_s
from engine.model.schedule_window import adjust_due, parse_schedule
from engine.model.site_name import site_name
from engine.model.throttle_spec import ThrottleSpec, format_throttle, parse_throttle
from engine.ready.source_selector import SourceSelector
from engine.throttle.gcra import check

QUICK = settings(max_examples=60, deadline=None)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
DOMAIN = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PART = st.one_of(st.none(), st.text(min_size=1, max_size=20))
ROUTING = st.one_of(st.none(), DOMAIN, st.just("[::1]:25"), DOMAIN.map("{}:2525".format))


@QUICK
@given(DOMAIN, PART, PART, ROUTING)
def test_queue_names_give_their_parts_back(domain, tenant, campaign, routing):
    name = format_queue_name(domain, tenant, campaign, routing)

    assert parse_queue_name(name) == QueueName(domain, tenant, campaign, routing)


@QUICK
@given(st.text(max_size=60))
def test_any_text_reads_as_some_queue_name(text):
    assert isinstance(parse_queue_name(text), QueueName)


@QUICK
@given(st.text(max_size=60))
def test_an_address_either_parses_to_itself_or_is_refused(text):
    try:
        address = parse_address(text)
    except AddressError:
        return

    again = parse_address(address.email)
    assert (again.user, again.domain, again.email) == (address.user, address.domain, address.email)
    assert not set(address.email) & set("\r\n\0")
    domain_of(address.email)


@QUICK
@given(st.from_regex(r"[ -~]{1,20}", fullmatch=True), DOMAIN)
def test_any_printable_user_survives_quoting(user, domain):
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    address = parse_address(f'"{quoted}"@{domain}')

    assert address.user == user
    assert parse_address(address.email) == address


@QUICK
@given(st.text(max_size=300))
def test_a_normal_domain_is_stable_or_refused(text):
    try:
        normal = normal_domain(text)
    except ValueError:
        return

    assert normal_domain(normal) == normal
    assert normal.isascii()


@QUICK
@given(
    st.integers(1, 10**9),
    st.sampled_from([1, 60, 90, 3600, 86400, 172800]),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.booleans(),
)
def test_rates_print_and_read_back(limit, period, burst, local):
    spec = ThrottleSpec(limit, float(period), burst, local)

    assert parse_throttle(format_throttle(spec)) == spec


@QUICK
@given(st.text(max_size=30))
def test_parsers_raise_nothing_but_value_errors(text):
    for parse in (
        parse_throttle,
        parse_duration,
        normal_domain,
        lambda each: CidrSet.parse([each]),
    ):
        try:
            parse(text)
        except ValueError:
            pass


@QUICK
@given(
    st.floats(0.001, 1e6),
    st.one_of(st.none(), st.floats(0.001, 1e6)),
    st.floats(0, 1e7),
    st.integers(0, 10**6),
    st.floats(-1, 1),
)
def test_delays_stay_within_bounds(interval, cap, max_age, attempt, jitter):
    schedule = RetrySchedule(interval, cap, max_age)
    delay = next_delay_s(schedule, attempt, jitter)

    assert 0 <= delay <= max_age
    assert cap is None or delay <= cap + 30
    assert not is_expired(schedule, 0.0, delay)


@QUICK
@given(
    st.integers(1, 50),
    st.sampled_from([1.0, 60.0]),
    st.one_of(st.none(), st.integers(1, 20)),
    st.lists(st.floats(0, 5), max_size=80),
    st.floats(0, 1e7),
)
def test_no_window_of_time_gets_more_than_its_rate(limit, period, burst, gaps, start):
    spec = ThrottleSpec(limit, period, burst)
    now, tat, allowed = start, None, []
    for gap in gaps:
        now += gap * spec.interval_s
        result, tat = check(tat, now, spec)
        if not result.throttled:
            allowed.append(now)

    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            window = allowed[last] - allowed[first]
            assert last - first + 1 <= spec.burst + window / spec.interval_s + 0.01


@QUICK
@given(
    st.floats(0, 4e9),
    st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    st.integers(0, 22),
)
def test_a_window_never_makes_a_message_earlier_and_is_stable(due, days, tz, hour):
    schedule = parse_schedule(
        {
            "dow": ",".join(days),
            "tz": tz,
            "start": f"{hour:02}:00:00",
            "end": f"{hour + 1:02}:00:00",
        }
    )
    adjusted = adjust_due(schedule, due)

    assert due <= adjusted <= due + 9 * 86400
    assert parse_schedule(schedule.to_dict()) == schedule


@QUICK
@given(st.lists(st.tuples(st.integers(0, 100), DOMAIN), min_size=1, max_size=6))
def test_site_names_do_not_depend_on_the_order_of_answers(hosts):
    assert site_name(hosts) == site_name(random.Random(1).sample(hosts, len(hosts)))


@QUICK
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 1000))
def test_each_cycle_of_sources_is_in_proportion(weights, start):
    entries = [PoolEntry(str(number), weight) for number, weight in enumerate(weights)]
    chooser = SourceSelector(entries, lambda below: start % below)
    counts = Counter()
    for _ in range(sum(weights)):
        name = next(chooser.order())
        chooser.chosen(name)
        counts[name] += 1

    assert [counts[str(number)] for number in range(len(weights))] == weights


@pytest.mark.parametrize("text", ["1.2.3.4/33", "fe80::1%eth0/64"])
def test_malformed_networks_are_value_errors(text):
    with pytest.raises(ValueError):
        CidrSet.parse([text])
