"""Traces, explanations, refusals: tasks for teachers, parsing, consistency, filters."""
