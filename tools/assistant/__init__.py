"""The assistant tools."""
