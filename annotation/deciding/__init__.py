"""One value out of several people's answers, by a named rule."""
