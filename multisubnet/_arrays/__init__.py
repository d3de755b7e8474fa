"""Arrays: the library they belong to, their dtypes, and their validity."""
