"""The whole system under test, as its users meet it."""
