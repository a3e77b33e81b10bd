"""Stage 5: one connection's worth of delivery attempts."""
