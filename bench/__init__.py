"""Measurements: what a recording costs, how fast it starts and ends. No claims, no limits: numbers."""
