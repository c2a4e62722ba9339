"""Getting statements back: a window of time, or everything."""
