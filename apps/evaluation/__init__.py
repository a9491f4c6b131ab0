"""Measuring models and planners on function-calling benchmarks: what ``plait eval`` does."""
