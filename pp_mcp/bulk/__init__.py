"""Bulk work: one action on many, previewed as a whole, carried out one by one, told item by item."""
