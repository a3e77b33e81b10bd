"""Rate limits and leases."""
