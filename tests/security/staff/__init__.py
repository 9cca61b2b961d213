"""Attacks by staff, on staff, and with their sessions, tokens and keys."""
