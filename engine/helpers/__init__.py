"""Declarative helpers that scripts import: each reads one format and answers events by it."""
