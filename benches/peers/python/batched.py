"""The design of send-batch in Python: a range is claimed with one statement, 50 threads send (boto3 blocks), and
one statement records the batch."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import message
import peer
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import TemplateError
from psycopg import RawCursor
from psycopg.rows import dict_row

BATCH = int(os.environ.get("BATCH_SIZE", "500"))
CONCURRENCY = 50
HERE = Path(__file__).parent
CLAIM = (HERE.parent / "claim.sql").read_text()
RECORD = (HERE.parent / "record.sql").read_text()


def send(campaign, database, ses):
    templates = message.compile_templates(campaign)

    def send_one(recipient):
        try:
            content = message.render(templates, campaign, recipient)
            answer = ses.send_email(**message.request(campaign, recipient, content))
            return answer["MessageId"], None, content["subject"]
        except (BotoCoreError, ClientError, TemplateError) as error:
            return None, str(error), None

    total = 0
    cursor = RawCursor(database, row_factory=dict_row)
    cursor.execute("INSERT INTO peer_cursors (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING", [campaign["id"]])
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        while batch := cursor.execute(CLAIM, [campaign["id"], BATCH]).fetchall():
            outcomes = list(threads.map(send_one, batch))
            ids = [recipient["id"] for recipient in batch]
            message_ids, errors, subjects = (list(column) for column in zip(*outcomes))
            cursor.execute(RECORD, [campaign["id"], ids, message_ids, errors, subjects])
            total += sum(message_id is not None for message_id in message_ids)
    database.execute("UPDATE campaigns SET status = 'sent' WHERE id = %s", [campaign["id"]])
    return total


peer.run(send, connections=CONCURRENCY)
