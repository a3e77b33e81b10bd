"""Stage 6: log records, the single exit."""
