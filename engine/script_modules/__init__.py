"""What scripts may import beside the events: the modules below ``mta``."""
