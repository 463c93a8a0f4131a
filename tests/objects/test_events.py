"""Event notifications: what is acknowledged is told, whatever dies."""

import json
import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError
from fogbank_cloud import until

TOPIC = "arn:aws:sns:us-east-1:123456789012:sink"


def told(sink):
    """The events of keys, by name."""
    events = {}
    for line in sink.read_text().splitlines() if sink.exists() else []:
        for record in json.loads(line).get("Records", []):
            events.setdefault(record["eventName"], set()).add(record["s3"]["object"]["key"])
    return events


def test_events_outlive_kills(cloud, s3, bucket):
    sink, chooser = cloud.data / "events.jsonl", random.Random(7)
    targets = cloud.data / "objects" / "notification-targets.json"
    targets.write_text(json.dumps({TOPIC: {"file": str(sink)}}))
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
        "TopicConfigurations": [{
            "TopicArn": TOPIC, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]})
    written, removed = [], []

    def attempt(call, kept, key, **more):
        try:
            call(Bucket=bucket, Key=key, **more)
        except (BotoCoreError, ClientError):
            time.sleep(0.02)
            return False
        kept.append(key)
        return True

    for turn in range(4):
        killer, begin = threading.Thread(target=cloud.kill, args=["objects"]), len(written)
        wanted, count = begin + chooser.randrange(3, 12), 0
        while killer.ident is None or killer.is_alive():
            attempt(s3.put_object, written, f"{turn}-{count}", Body=b"1")
            if count % 3 == 2 and written:
                attempt(s3.delete_object, removed, chooser.choice(written))
            if len(written) >= wanted and killer.ident is None:
                killer.start()
            count += 1
        until("the store serves", lambda: attempt(s3.put_object, written, "last", Body=b"1"))
    until("each acknowledged write is told",
          lambda: set(written) <= told(sink).get("ObjectCreated:Put", set()))
    until("each acknowledged removal is told",
          lambda: set(removed) <= told(sink).get("ObjectRemoved:Delete", set()))
    rows = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    there = {row["Key"] for page in rows for row in page.get("Contents", [])}
    events = told(sink)
    gone = events.get("ObjectRemoved:Delete", set())
    assert events["ObjectCreated:Put"] == there | gone, "nothing is told that did not happen"
