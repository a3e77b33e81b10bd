"""Vocabulary: immutable values and plain judgements, no I/O."""
