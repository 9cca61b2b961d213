"""
A simulated year of a magazine: readers who act at random, network faults, and an independent model of access and money.

The model computes each reader's access, and what may be kept or returned of each payment, from Stripe's records alone, and
compares that with the service's answers. It shares no code with the service, so a wrong rule in the service shows as a
difference. All random numbers come from one seed.

`kinds` lists the kinds of readers. The year begins with the import of those who subscribed years ago (`imported_history`).
Each evening, access (`expected_access`, `expected_print`) and money (`money`) are checked.
"""
