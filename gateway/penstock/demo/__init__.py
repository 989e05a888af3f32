"""`penstock demo`: the whole way of thousands of calls, on real input, in a minute or two."""
