"""Edges for operators and the TSA: they write control and read snapshots."""
