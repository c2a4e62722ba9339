"""The sealed archive of tracking logs: rotate, seal, verify, release, and read again."""
