"""Nodes for the tests of deployments: the same as those of the scenarios."""

from tests.e2e.conftest import make_node, sink

__all__ = ["make_node", "sink"]
