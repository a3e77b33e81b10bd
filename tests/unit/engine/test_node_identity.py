"""The id of a node: given, kept, or made once."""

from __future__ import annotations

import logging
import os
import uuid

import pytest

from engine.model.errors import ConfigurationError
from engine.node_identity import parse_node_id, settle_node_id

GIVEN = "6f1ba4c0-6a43-4a9b-8a4c-0d2f4c4e9d11"


def test_an_id_is_made_once_and_stays(tmp_path):
    first = settle_node_id(None, tmp_path)

    assert uuid.UUID(first).version == 4
    assert settle_node_id(None, tmp_path) == first
    assert [file.name for file in tmp_path.iterdir()] == ["node-id"]


def test_two_spools_are_two_nodes(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()

    assert len({settle_node_id(None, folder) for folder in folders}) == 2


def test_what_is_given_counts_and_the_file_stays_as_it_is(tmp_path):
    kept = settle_node_id(None, tmp_path)

    assert settle_node_id(GIVEN, tmp_path) == GIVEN
    assert settle_node_id(None, tmp_path) == kept


def test_what_is_given_is_not_written_down(tmp_path):
    settle_node_id(GIVEN, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [GIVEN.upper(), f" {GIVEN}\n", GIVEN.replace("-", "")])
def test_an_id_has_one_form(text):
    assert parse_node_id(text) == GIVEN


@pytest.mark.parametrize("text", ["node-1", "6f1ba4c0", f"{GIVEN}0"])
def test_what_is_given_and_is_no_uuid_keeps_the_node_from_starting(tmp_path, text):
    with pytest.raises(ConfigurationError, match="CIRRUS_NODE_ID is no UUID"):
        settle_node_id(text, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"node-1\n"])
def test_a_file_without_an_id_is_replaced_and_said(tmp_path, caplog, content):
    (tmp_path / "node-id").write_bytes(content)

    with caplog.at_level(logging.WARNING):
        made = settle_node_id(None, tmp_path)

    assert (tmp_path / "node-id").read_text() == f"{made}\n"
    assert "holds no UUID" in caplog.text


@pytest.mark.parametrize("at_fault", ["node-id", "node-id.new"])
def test_a_file_that_cannot_be_kept_is_named(tmp_path, at_fault):
    (tmp_path / at_fault).mkdir()

    with pytest.raises(ConfigurationError, match=f"node-id cannot be kept: {os.strerror(21)}"):
        settle_node_id(None, tmp_path)
