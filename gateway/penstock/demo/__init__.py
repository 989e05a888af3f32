"""`penstock demo`: the whole way of thousands of calls, on real input, in under a minute."""
