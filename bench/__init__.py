"""Measurements: what a recording costs, how true and how small it is, beside the reference. Numbers, not tests."""
