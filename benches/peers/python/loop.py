"""The usual way: ten recipients at a time, one after the other, their activities with one insert."""

import message
import peer
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import TemplateError
from psycopg.types.json import Jsonb

BATCH = 10
NEXT = """
SELECT id, organization_id, customer_id, email, name, variables FROM campaign_recipients
 WHERE campaign_id = %s AND status = 'pending' ORDER BY position LIMIT %s
"""
SENT = "UPDATE campaign_recipients SET status = 'sent', message_id = %s, sent_at = now() WHERE id = %s"
FAILED = "UPDATE campaign_recipients SET status = 'failed', error = %s WHERE id = %s"
ROW = "(%s, %s, %s, %s, 'email_sent', %s, %s, 'email', %s)"
ACTIVITIES = """
INSERT INTO activities (organization_id, user_id, entity_type, entity_id, action, description, metadata, source,
                        source_ref)
VALUES """


def send(campaign, database, ses):
    templates = message.compile_templates(campaign)
    total = 0
    while batch := database.execute(NEXT, [campaign["id"], BATCH]).fetchall():
        sent = []
        for recipient in batch:
            try:
                content = message.render(templates, campaign, recipient)
                answer = ses.send_email(**message.request(campaign, recipient, content))
            except (BotoCoreError, ClientError, TemplateError) as error:
                database.execute(FAILED, [str(error), recipient["id"]])
                continue
            database.execute(SENT, [answer["MessageId"], recipient["id"]])
            sent.append(activity(campaign, recipient, content["subject"], answer["MessageId"]))
        if sent:
            values = [value for row in sent for value in row]
            database.execute(ACTIVITIES + ", ".join([ROW] * len(sent)), values)
        database.execute("UPDATE campaigns SET sent_count = sent_count + %s WHERE id = %s", [len(sent), campaign["id"]])
        total += len(sent)
    database.execute("UPDATE campaigns SET status = 'sent' WHERE id = %s", [campaign["id"]])
    return total


def activity(campaign, recipient, subject, message_id):
    metadata = {
        "emailId": str(recipient["id"]),
        "recipientEmail": recipient["email"],
        **({"recipientName": recipient["name"]} if recipient["name"] else {}),
        "subject": subject,
        "campaignId": str(campaign["id"]),
        "campaignName": campaign["name"],
        "messageId": message_id,
    }
    return [
        recipient["organization_id"],
        campaign["created_by"],
        "customer" if recipient["customer_id"] else "email",
        recipient["customer_id"] or recipient["id"],
        f"Email sent to {recipient['name'] or recipient['email']}: {subject}",
        Jsonb(metadata),
        str(recipient["id"]),
    ]


peer.run(send, connections=10)
