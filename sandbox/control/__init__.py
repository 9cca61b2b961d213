"""The control API for tests, below `/_sandbox`."""
