"""How calls travel: settings, the Celery app and its queues, the wire format, the ledger in Redis."""
