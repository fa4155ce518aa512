"""Writes a campaign with its recipients, starts it, and says where it stands.

    python3 -m venv venv && venv/bin/pip install 'psycopg[binary]'
    DATABASE_URL=postgres://… venv/bin/python write_campaign.py
"""

import json
import os
import uuid

import psycopg

PEOPLE = [
    {"email": "ana@example.com", "name": "Ana Silva", "variables": {"coupon": "SPRING-1"}},
    {"email": "ben@example.com", "name": None, "variables": {"coupon": "SPRING-2"}},
]


def write_campaign(connection, organization_id, people):
    """One transaction: either the campaign and all of its recipients are there, or nothing is."""
    with connection.transaction(), connection.cursor() as cursor:
        campaign_id = cursor.execute(
            """INSERT INTO campaigns (organization_id, name, from_address, subject, html)
               VALUES (%s, 'Spring', 'News <news@example.com>', 'Hello {{ name or "you" }}',
                       '<p>Your coupon is {{ coupon }}.</p>')
               RETURNING id""",
            [organization_id],
        ).fetchone()[0]
        with cursor.copy(
            "COPY campaign_recipients (campaign_id, organization_id, email, name, variables) FROM STDIN"
        ) as copy:
            for person in people:
                variables = json.dumps(person["variables"])
                copy.write_row([campaign_id, organization_id, person["email"], person["name"], variables])
        cursor.execute("UPDATE campaigns SET status = 'sending' WHERE id = %s", [campaign_id])
    return campaign_id


if __name__ == "__main__":
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        campaign_id = write_campaign(connection, uuid.uuid4(), PEOPLE)
        print(campaign_id)
