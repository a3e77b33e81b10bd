"""Programs beside the node: check, demo, sink, traffic."""
