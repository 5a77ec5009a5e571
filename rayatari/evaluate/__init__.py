"""Faithfulness as a number: the neural game measured against the real one, and its report."""
