"""Decides, and never does: no I/O, no threads, no clock. Time is an argument of every function that needs it."""
