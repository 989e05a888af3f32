"""Random histories of buffers, leases, limits and retries on a real Redis, beside a model of them."""
