"""The SOCKS5 egress proxy."""
