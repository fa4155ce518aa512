"""What both Python peers share: they start, wait for the start signal, send one campaign, and report the number."""

import os
import sys

import boto3
import psycopg
from botocore.config import Config
from psycopg.rows import dict_row


def run(send, connections):
    ses = boto3.client("sesv2", config=Config(max_pool_connections=connections))
    print("ready", flush=True)
    sys.stdin.readline()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, row_factory=dict_row) as database:
        campaign = database.execute("SELECT * FROM campaigns WHERE id = %s", [os.environ["CAMPAIGN_ID"]]).fetchone()
        sent = send(campaign, database, ses)
        print(f"done {sent}", flush=True)
        sys.stdin.readline()
