"""Stage 4: ready queues, mail that may go now."""
