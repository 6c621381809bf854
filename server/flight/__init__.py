"""Decisions: one simulator's clock, track and session. Pure: events in, commands out."""
