"""Stage 1: how mail enters, by SMTP and by HTTP."""
