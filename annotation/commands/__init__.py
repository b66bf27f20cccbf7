"""`whyguard review`: thin layers over calls of the same name."""
