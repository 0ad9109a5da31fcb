"""Task hub providers: `base` is the contract, found by name through entry points."""
