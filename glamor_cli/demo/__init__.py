"""Every step on generated scenes: `glamor demo`."""
