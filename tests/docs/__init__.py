"""The documentation site: its generated pages, its code samples, and what it says about the code."""
