"""The doctor: looks at a site end to end before it goes into production, and says what to do. Changes nothing."""
