"""Schedules. Both are shipped stopped; one click starts them."""

from collections.abc import Iterator

import dagster as dg

from unclip_assets.partitions import CRAWL_BATCHES
from unclip_orchestration import jobs


@dg.schedule(
    job=jobs.crawl,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    name="nightly_crawl",
)
def nightly_crawl(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Every night at two: one run per known batch. A batch that is finished costs a look at its manifest."""
    batches = context.instance.get_dynamic_partitions(CRAWL_BATCHES)
    if not batches:
        yield dg.SkipReason("no crawl batch is known yet; `unclip data crawl` or the page_sources asset adds one")
    day = context.scheduled_execution_time.strftime("%Y-%m-%d")
    for batch in batches:
        yield dg.RunRequest(run_key=f"{day}/{batch}", partition_key=batch)


weekly_training = dg.ScheduleDefinition(
    name="weekly_training",
    job=jobs.train,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every Sunday at three: train what the published set has outgrown; a stage whose data did not change stays as it is.",
)

ALL = [nightly_crawl, weekly_training]
