"""Routing: which rows people see first, and why."""
