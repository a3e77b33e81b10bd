"""Site names."""

from engine.model.site_name import ready_queue_name, site_name


def test_names_the_site_of_a_large_provider():
    hosts = [
        (5, "gmail-smtp-in.l.google.com."),
        (10, "alt1.gmail-smtp-in.l.google.com."),
        (20, "alt2.gmail-smtp-in.l.google.com."),
        (30, "ALT3.gmail-smtp-in.l.google.com."),
        (40, "alt4.gmail-smtp-in.l.google.com."),
    ]

    assert site_name(hosts) == "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"
    assert site_name(hosts[::-1]) == site_name(hosts)


def test_one_host_is_its_own_site():
    assert site_name([(10, "MX.Example.com")]) == "mx.example.com"


def test_labels_come_in_order_of_preference_then_name():
    assert site_name([(20, "a.example"), (10, "c.example"), (10, "b.example")]) == "(b|c|a).example"


def test_a_position_that_some_lack_is_marked():
    assert site_name([(1, "example.com"), (2, "mx.example.com")]) == "mx?.example.com"


def test_no_hosts_have_no_name():
    assert site_name([]) == ""


def test_a_ready_queue_names_source_site_and_protocol():
    assert ready_queue_name("ip-1", "mx.example") == "ip-1->mx.example@smtp_client"
    assert ready_queue_name("ip-1", "mx", "script:f") == "ip-1->mx@script:f"
