-- Another campaign of the same organization, at the same positions, in the middle of its work. No statement of a
-- replay may change it.
INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, started_at, total_count,
                       sent_count, failed_count, uncertain_count)
VALUES ('00000000-0000-0000-0000-0000000000ff', '00000000-0000-0000-0000-00000000000a', 'Neighbour', 'sending',
        'news@example.com', 'Hello', '<p>Dear</p>', now(), 8, 1, 1, 1);

INSERT INTO campaign_recipients (campaign_id, organization_id, email, position, status, previous_status, message_id,
                                 sent_at, error_code, uncertain_since)
SELECT '00000000-0000-0000-0000-0000000000ff', '00000000-0000-0000-0000-00000000000a', r.email, r.position, r.status,
       'pending', r.message_id, r.sent_at, r.error_code, r.uncertain_since
  FROM (VALUES ('sent@example.com', 5, 'sent', 'neighbour', now(), NULL, NULL),
               ('failed@example.com', 10, 'failed', NULL, NULL, 'MessageRejected', NULL),
               ('uncertain@example.com', 11, 'uncertain', NULL, NULL, 'timed_out', now() - interval '1 day'),
               ('lost@example.com', 15, 'pending', NULL, NULL, NULL, NULL),
               ('held@example.com', 20, 'pending', NULL, NULL, NULL, NULL),
               ('open@example.com', 25, 'pending', NULL, NULL, NULL, NULL),
               ('first@example.com', 30, 'pending', NULL, NULL, NULL, NULL),
               ('second@example.com', 35, 'pending', NULL, NULL, NULL, NULL)
       ) AS r (email, position, status, message_id, sent_at, error_code, uncertain_since);

INSERT INTO campaign_cursors (campaign_id, counted_at) VALUES ('00000000-0000-0000-0000-0000000000ff', now());

-- A batch that is closed, one of a lost invocation, one that an invocation holds, and one that nobody holds.
INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, claimed_through, closed_through,
                              claimed_count, claim_token, lease_ends_at, handed_through, handed_by, closed_at)
SELECT '00000000-0000-0000-0000-0000000000ff', b.number, b.first, b.last, b.last, 11, b.count, b.token, b.lease,
       b.handed, b.token, b.closed
  FROM (VALUES (1, 5, 11, 3, NULL, NULL, NULL, now()),
               (2, 15, 15, 1, '00000000-0000-0000-0000-0000000000f1'::uuid, now() - interval '1 hour', 15, NULL),
               (3, 20, 20, 1, '00000000-0000-0000-0000-0000000000f2', now() + interval '900 seconds', 20, NULL),
               (4, 25, 25, NULL, NULL, NULL, NULL, NULL)
       ) AS b (number, first, last, count, token, lease, handed, closed);

INSERT INTO campaign_batch_outcomes (batch_id, checkpoint, outcomes)
SELECT id, 0, '[["00000000-0000-0000-0000-0000000000f3", "pending"]]'
  FROM campaign_batches
 WHERE campaign_id = '00000000-0000-0000-0000-0000000000ff' AND number = 2;

INSERT INTO campaign_attempts (campaign_id, attempts, retry_at)
VALUES ('00000000-0000-0000-0000-0000000000ff', 1, now());
