"""Options as TOML."""

from __future__ import annotations

import tomllib

from engine.cli.toml_text import format_toml

OPTIONS = {
    "smtp_port": 25,
    "enable_tls": "Opportunistic",
    "ratio": 0.5,
    "refuse": True,
    "nothing": None,
    "hosts": ["a", 'b"\\\x7f\n', {"name": "c", "port": 1}],
    "empty": {},
    "limits": {"shared by all": "local:3", "inner": {"x": 1}},
}


def test_a_reader_of_toml_finds_the_options_again():
    expected = {name: value for name, value in OPTIONS.items() if value not in (None, {})}
    assert tomllib.loads(format_toml(OPTIONS)) == expected


def test_tables_come_after_all_other_options():
    assert format_toml({"a": {"b": "1m"}, "c": 3}) == 'c = 3\n\n[a]\nb = "1m"\n'
