"""The restore drill: days of the archive replayed into a scratch database, and held against what stands."""
