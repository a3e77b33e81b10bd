"""Stage 3: scheduled queues, where mail waits for its due time."""
