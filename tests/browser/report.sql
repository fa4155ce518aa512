-- A campaign of 6,000 that was sent within 40 minutes, and what SES told of it in the three days since.
INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, started_at, completed_at,
                       total_count, sent_count, failed_count, suppressed_count)
VALUES ('5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35', '0a77c3d2-0000-4000-8000-000000000001', 'Spring <harvest> & more', 'sent',
        'News <news@example.com>', 'Hello', '<p>Hello</p>', '2026-03-01 08:00Z', '2026-03-01 08:41Z', 6000, 5900, 80, 20);

INSERT INTO campaign_recipients (campaign_id, organization_id, email, status, message_id, sent_at, error_code, error)
SELECT '5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35', '0a77c3d2-0000-4000-8000-000000000001',
       'person' || n || '@' || CASE WHEN n % 40 = 0 THEN 'shop' || n || '.example' ELSE
           (ARRAY['example.com', 'mail.example', 'post.example', 'inbox.example', 'firma.example', 'uni.example',
                  'town.example'])[1 + floor(7 * power(n * 0.61803 % 1, 2))::int] END,
       CASE WHEN n <= 5900 THEN 'sent' WHEN n <= 5980 THEN 'failed' ELSE 'suppressed' END,
       CASE WHEN n <= 5900 THEN 'm' || n END,
       CASE WHEN n <= 5900 THEN timestamptz '2026-03-01 08:00Z'
            + make_interval(secs => n * 0.4 + CASE WHEN n > 3000 THEN 180 ELSE 0 END) END,
       CASE WHEN n > 5980 THEN NULL WHEN n > 5970 THEN 'render' WHEN n > 5900 THEN 'MessageRejected' END,
       CASE WHEN n > 5980 THEN NULL WHEN n > 5970 THEN 'coupon is not defined (html, line 15)'
            WHEN n > 5900 THEN 'Address blacklisted.' END
  FROM generate_series(1, 6000) AS n;

INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
SELECT r.id, e.action, r.sent_at + e.after,
       CASE e.action WHEN 'email_bounced' THEN 'b23b4c73-6839-1d50-ebd0-b1781345d5a2'
                     WHEN 'email_complained' THEN '57353101-ef03-bd75-0c3c-888560251835' ELSE gen_random_uuid() END
  FROM (SELECT *, substr(message_id, 2)::int AS n FROM campaign_recipients WHERE status = 'sent') AS r
 CROSS JOIN LATERAL (VALUES
       ('email_delivered', interval '2 seconds', r.n % 50 <> 0 AND r.n % 97 <> 0),
       ('email_bounced', interval '3 seconds', r.n % 50 = 0),
       ('email_complained', interval '5 hours', r.n % 700 = 1),
       ('email_opened', make_interval(secs => 60 + 250000 * power(r.n * 0.7548 % 1, 6)), r.n % 50 <> 0 AND r.n % 5 < 2),
       ('email_clicked', make_interval(secs => 120 + 250000 * power(r.n * 0.5698 % 1, 5)), r.n % 50 <> 0 AND r.n % 20 = 1)
       ) AS e (action, after, happens)
 WHERE e.happens;

SELECT recount_campaign_results('5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35');

INSERT INTO campaign_links (campaign_id, key, link, clicked_by_people, clicked_by_machines)
SELECT '5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35', md5(link)::uuid, link, people, machines
  FROM (VALUES ('https://shop.example.com/offers?spring=2026', 211, 12), ('https://shop.example.com/imprint', 74, 12))
       AS l (link, people, machines);
