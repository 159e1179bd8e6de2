"""``edgeprofile doctor``: what is wrong with Redis, the way to it, the rights, the data, and what to do about each.

Checks are small functions from a connection, or from what a server answered, to a `Finding`. They connect with the
product's own code, so that what they find is what the product would meet.
"""
