"""Operator and TSA intent: state the queues consult."""
