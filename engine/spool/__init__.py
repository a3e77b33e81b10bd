"""Stage 2: durable storage of accepted messages."""
