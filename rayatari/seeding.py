"""Which emulator seeds are for what."""

EVALUATION_SEED = 1_000_000
"""The first of the seeds reserved for evaluation: nothing is trained or recorded on it or above."""
