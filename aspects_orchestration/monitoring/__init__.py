"""What is watched, what it reads, and when that is a reason to worry."""
