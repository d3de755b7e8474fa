"""Arrays: the library they belong to, their dtypes, their validity, and the memory they take."""
