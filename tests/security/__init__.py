"""Attacks, by kind."""
