"""Who sends calls, and when: producers and jobs, and the reaper that rings again what was not heard."""

from penstock_scheduler.async_job import AsyncJob
from penstock_scheduler.async_producer import AsyncProducer
from penstock_scheduler.job import Job
from penstock_scheduler.producer import Producer
from penstock_scheduler.progress import Progress

__all__ = ["AsyncJob", "AsyncProducer", "Job", "Producer", "Progress"]
