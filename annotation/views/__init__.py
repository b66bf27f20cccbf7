"""Where people see items and answer: views behind one protocol. The store is the truth."""
