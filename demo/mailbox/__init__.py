"""The mailbox of all readers of the demo: a mail server on this machine, and pages that show what it received."""
