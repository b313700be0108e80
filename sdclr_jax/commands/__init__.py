"""What the commands of this package do, once their arguments have been checked: commands/X.py is the work of X.py."""
