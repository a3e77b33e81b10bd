"""Where a domain's mail goes."""
