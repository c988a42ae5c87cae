"""What another team would write: confluent-kafka with its Avro serializers.

client.py produce TOPIC COUNT SCHEMA      prompts "python 0", "python 1", …
client.py consume TOPIC COUNT             completions, a line of JSON each
client.py raw TOPIC COUNT                 records as they are, a line of JSON each
"""
import base64
import json
import os
import sys
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TIMEOUT_SECONDS = 90


def produce(topic: str, count: int, schema: str) -> None:
    producer = Producer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "enable.idempotence": True})
    serialize = AvroSerializer(registry(), schema)
    failed = []
    for number in range(count):
        prompt = {"text": f"python {number}", "metadata": {"client": "confluent-kafka"}}
        producer.produce(
            topic,
            key=f"python-{number}".encode(),
            value=serialize(prompt, SerializationContext(topic, MessageField.VALUE)),
            headers=[("traceparent", f"trace-{number}".encode())],
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    left = producer.flush(TIMEOUT_SECONDS)
    if failed or left:
        sys.exit(f"{left} prompts were not delivered, {failed}")


def consume(topic: str, count: int) -> None:
    deserialize = AvroDeserializer(registry())
    context = SerializationContext(topic, MessageField.VALUE)
    for record in records(topic, count):
        tell(record, value=deserialize(record.value(), context))


def raw(topic: str, count: int) -> None:
    for record in records(topic, count):
        tell(record, value=base64.b64encode(record.value()).decode())


def records(topic: str, count: int):
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            "group.id": f"python-{topic}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    end = time.time() + TIMEOUT_SECONDS
    found = 0
    while found < count and time.time() < end:
        record = consumer.poll(1)
        if record is not None and record.error() is None:
            found += 1
            yield record
    consumer.close()


def tell(record, value) -> None:
    headers = {name: content.decode() for name, content in record.headers() or []}
    key = record.key()
    print(json.dumps({"key": key and key.decode(), "headers": headers, "value": value}))


def registry() -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]})


if __name__ == "__main__":
    command, name, number, *rest = sys.argv[1:]
    {"produce": produce, "consume": consume, "raw": raw}[command](name, int(number), *rest)
