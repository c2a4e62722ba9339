"""Hours of which the tracking logs hold more than stands in ClickHouse: found, shown, and, where that is on, replayed."""
