"""Readers, writers, full syncs and random faults together, for as long as you like: `python -m tests.soak --seconds 600`.

Every lookup is checked against every write while it runs; memory, descriptors and threads are sampled.
"""
