"""Files that appear whole, limits on what is read, errors, the machine, and what is shipped."""
