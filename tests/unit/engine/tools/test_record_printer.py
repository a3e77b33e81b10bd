"""Records are printed for people or as they are; what is no record is counted."""

from __future__ import annotations

import io

import msgspec
import pytest

from engine.model.log_record import RecordKind, encode_record
from engine.model.record_filter import RecordFilter, compile_filter
from engine.tools.record_printer import RecordPrinter
from tests.fakes.log_files import BEGAN_AT, record

LINE = encode_record(record(7, RecordKind.BOUNCE))


def printed(*lines, as_json=False, limit=None, is_screen=False, **wanted):
    out = io.BytesIO()
    matcher = compile_filter(RecordFilter(**wanted), BEGAN_AT)
    printer = RecordPrinter(out, matcher, as_json=as_json, limit=limit, is_screen=is_screen)
    for line in lines:
        if not printer.is_full:
            printer.print(line)
    printer.flush()
    return out.getvalue(), printer


def test_people_get_a_line_they_can_read():
    text, printer = printed(LINE)

    assert text.startswith(b"2027-01-15 08:00:07.000 Bounce ")
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    assert printer.printed == 1


@pytest.mark.parametrize("wanted", [{}, {"type": ["Bounce"]}, {"grep": "Bounce"}])
def test_programs_get_the_line_as_it_was_written(wanted):
    other = LINE.replace(b'"sender"', b'"unknown":1,"sender"')

    assert printed(other, as_json=True, **wanted)[0] == other


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("wanted", [{"type": ["Delivery"]}, {"grep": "Delivery"}])
def test_what_is_not_wanted_is_not_printed(wanted, as_json):
    text, printer = printed(LINE, as_json=as_json, **wanted)

    assert (text, printer.printed, printer.strange) == (b"", 0, 0)


def test_no_more_are_printed_than_are_wanted():
    text, printer = printed(LINE, LINE, LINE, as_json=True, limit=2)

    assert text == LINE * 2 and printer.is_full


def test_lines_of_a_template_are_printed_unless_a_filter_looks_into_records():
    text, printer = printed(b"7;ann\x1b[2J\xff\r\n")
    assert text.decode() == "7;ann\\x1b[2J\ufffd\n"
    assert printed(b"7;ann\n", as_json=True, grep="ann")[0] == b"7;ann\n"

    text, printer = printed(b"7;ann\n", type=["Bounce"])
    assert (text, printer.strange) == (b"", 1)


def test_a_terminal_finds_nothing_to_obey_in_json_either():
    hostile = LINE.replace(b'"sender":"', '"sender":"\x9b2J\x7f'.encode())

    text = printed(hostile, as_json=True, is_screen=True)[0].decode()

    assert text.endswith("\n")
    assert text.rstrip("\n").isprintable()
    assert msgspec.json.decode(text) == msgspec.json.decode(hostile)
