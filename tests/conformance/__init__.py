"""The isolation suite: hostile guests, and what must come of each."""
