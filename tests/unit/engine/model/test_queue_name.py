"""Queue names and their parts."""

import pytest

from engine.model.queue_name import QueueName, format_queue_name, parse_queue_name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("example.com",), "example.com"),
        (("example.com", "t"), "t@example.com"),
        (("example.com", "t", "c"), "c:t@example.com"),
        (("example.com", None, "c"), "c:@example.com"),
        (("example.com", "", ""), "example.com"),
        (("example.com", "t", "c", "[::1]:25"), "c:t@example.com![::1]:25"),
        (("example.com", None, None, "mx.example:2525"), "example.com!mx.example:2525"),
        (("[IPv6:::1]", None, None, None), "[IPv6:::1]"),
    ],
)
def test_renders_the_parts(parts, name):
    assert format_queue_name(*parts) == name


def test_an_empty_tenant_is_no_tenant():
    assert parse_queue_name("c:@example.com") == QueueName("example.com", None, "c", None)


def test_separators_in_a_tenant_change_nothing():
    name = format_queue_name("example.com", "a@b:c!d%e", "x:y@z")

    assert parse_queue_name(name) == QueueName("example.com", "a@b:c!d%e", "x:y@z", None)
    assert name.count("@") == 1


def test_a_line_end_in_a_tenant_stays_out_of_the_name():
    assert format_queue_name("example.com", "a\nb") == "a%0Ab@example.com"


def test_reads_a_routing_domain_with_a_port():
    parsed = parse_queue_name("c:t@example.com![::1]:2525")

    assert parsed.routing_domain == "[::1]:2525"
    assert parsed.domain == "example.com"


def test_any_text_has_a_reading():
    assert parse_queue_name("").domain == ""
    assert parse_queue_name("50%zz@d").tenant == "50%zz"
