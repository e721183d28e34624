"""The commands, one file each: parsed arguments in; what is printed and an exit status out."""
