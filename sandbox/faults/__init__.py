"""Faults that tests inject into API calls."""
