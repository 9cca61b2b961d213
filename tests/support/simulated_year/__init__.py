"""
A simulated year of a magazine: readers who act at random, network faults, and an independent model of access.

The model computes each reader's access from Stripe's records alone. It shares no code with the service, so a wrong rule in
the service shows as a difference. All random numbers come from one seed.
"""
