"""What a job shows of itself while it runs, where STATUS_ADDR is set: a live page, metrics, a health check.

Nobody imports this package where it is not set, and nothing of the recording waits for it or fails with it.
"""
