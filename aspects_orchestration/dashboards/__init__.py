"""What dashboards read: tables that materialized views fill behind the raw one, and dictionaries of names."""
