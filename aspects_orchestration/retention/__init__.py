"""How long rows are kept: the policy, what stands, the plan from the one to the other, and doing it. No dagster here."""
