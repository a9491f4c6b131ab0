"""``plait voice``: requests spoken and answered aloud."""
