"""Accounts and the objects in them, in memory."""
