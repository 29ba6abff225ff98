"""What the server can do: one file per resource, each tool one typed async function."""
