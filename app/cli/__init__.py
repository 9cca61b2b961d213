"""Commands, one file for each noun."""
