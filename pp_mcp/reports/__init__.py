"""Reports: what the API alone cannot answer in one call, read over all pages and counted while reading."""
