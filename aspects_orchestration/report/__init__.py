"""The page that an operator looks at: everything that matters, in one file."""
