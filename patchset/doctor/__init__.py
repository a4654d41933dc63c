"""Which peft is installed or asked for, and whether it will do."""
