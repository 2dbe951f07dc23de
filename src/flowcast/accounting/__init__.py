"""Accounting: stocks to flows, raking to margins, net matrices, components and indices."""
