-- The results of a campaign, for a CRM.

-- One row for each campaign. Everything is counted when it happens, so that a row costs two lookups for any number of
-- recipients. Each email counts once in each column.
CREATE OR REPLACE VIEW campaign_results AS
SELECT c.id AS campaign_id, c.organization_id, c.name, c.status, c.started_at, c.completed_at,
       c.total_count AS total, c.sent_count AS sent, c.failed_count AS failed, c.suppressed_count AS suppressed,
       c.uncertain_count AS uncertain,
       coalesce(f.delivered, 0) AS delivered,
       coalesce(f.bounced, 0) AS bounced, coalesce(f.bounced_softly, 0) AS bounced_softly,
       coalesce(f.withheld, 0) AS withheld,
       coalesce(f.complained, 0) AS complained, coalesce(f.rejected, 0) AS rejected,
       coalesce(f.opened_by_people, 0) AS opened_by_people, coalesce(f.opened_by_machines, 0) AS opened_by_machines,
       coalesce(f.opened_by_apple, 0) AS opened_by_apple,
       coalesce(f.clicked_by_people, 0) AS clicked_by_people,
       coalesce(f.clicked_by_machines, 0) AS clicked_by_machines,
       c.unsubscribed_count AS unsubscribed
  FROM campaigns AS c LEFT JOIN campaign_feedback AS f ON f.campaign_id = c.id;

-- One row for each clicked link of a campaign, with the numbers of recipients.
CREATE OR REPLACE VIEW campaign_link_results AS
SELECT l.campaign_id, c.organization_id, l.link, l.clicked_by_people, l.clicked_by_machines
  FROM campaign_links AS l JOIN campaigns AS c ON c.id = l.campaign_id;

-- The column of `campaign_feedback` that counts an event of `recipient_events`; null: none. `record.sql` of the
-- function `ses-events` counts in the same way; a test compares the two. (The keys are the hashes of `Bounced` and
-- `Complained`, as `Kind::key` in src/ses_events/kind.rs makes them.)
CREATE OR REPLACE FUNCTION counted_as(action text, key uuid, made_by text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE action
    WHEN 'email_delivered' THEN 'delivered'
    WHEN 'email_rejected' THEN 'rejected'
    WHEN 'email_opened' THEN CASE made_by WHEN 'machine' THEN 'opened_by_machines' WHEN 'apple' THEN 'opened_by_apple'
                                          ELSE 'opened_by_people' END
    WHEN 'email_clicked' THEN CASE WHEN made_by IS NULL THEN 'clicked_by_people'
                                   WHEN made_by = 'machine' THEN 'clicked_by_machines' END
    WHEN 'email_complained' THEN CASE WHEN made_by = 'ses' THEN 'withheld'
                                      WHEN key = '57353101-ef03-bd75-0c3c-888560251835' THEN 'complained' END
    WHEN 'email_bounced' THEN CASE WHEN made_by = 'ses' THEN 'withheld'
                                   WHEN key = 'b23b4c73-6839-1d50-ebd0-b1781345d5a2' THEN 'bounced' ELSE 'bounced_softly' END
END;

-- The results of a campaign by the domains of its recipients, the largest first; columns as in `campaign_results`. It
-- reads all recipients of the campaign and their events, which takes about 10 µs per recipient. Events that `campaign
-- prune` has deleted are not counted.
CREATE OR REPLACE FUNCTION campaign_domain_results(p_campaign_id uuid)
RETURNS TABLE (domain text, sent bigint, delivered bigint, bounced bigint, bounced_softly bigint, withheld bigint,
               complained bigint, rejected bigint, opened_by_people bigint, opened_by_machines bigint,
               opened_by_apple bigint, clicked_by_people bigint, clicked_by_machines bigint, unsubscribed bigint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH email AS (
        SELECT split_part(canonical_address(r.email), '@', -1) AS domain, r.unsubscribed_at IS NOT NULL AS has_left,
               array_agg(counted_as(e.action, e.key, e.made_by)) AS what
          FROM campaign_recipients AS r LEFT JOIN recipient_events AS e ON e.recipient_id = r.id
         WHERE r.campaign_id = p_campaign_id AND r.status = 'sent'
         GROUP BY r.id
    )
    SELECT e.domain, count(*),
           count(*) FILTER (WHERE 'delivered' = ANY (e.what)),
           count(*) FILTER (WHERE 'bounced' = ANY (e.what)),
           count(*) FILTER (WHERE 'bounced_softly' = ANY (e.what)),
           count(*) FILTER (WHERE 'withheld' = ANY (e.what)),
           count(*) FILTER (WHERE 'complained' = ANY (e.what)),
           count(*) FILTER (WHERE 'rejected' = ANY (e.what)),
           count(*) FILTER (WHERE 'opened_by_people' = ANY (e.what)),
           count(*) FILTER (WHERE 'opened_by_machines' = ANY (e.what)),
           count(*) FILTER (WHERE 'opened_by_apple' = ANY (e.what)),
           count(*) FILTER (WHERE 'clicked_by_people' = ANY (e.what)),
           count(*) FILTER (WHERE 'clicked_by_machines' = ANY (e.what)),
           count(*) FILTER (WHERE e.has_left)
      FROM email AS e
     GROUP BY e.domain ORDER BY count(*) DESC, e.domain
$$;

-- Counts a campaign's results again from its events, for campaigns whose events arrived before results were counted.
-- While it runs, it and events of the campaign wait for each other. It cannot count links.
CREATE OR REPLACE FUNCTION recount_campaign_results(p_campaign_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_feedback (campaign_id, organization_id)
    SELECT c.id, c.organization_id FROM campaigns AS c WHERE c.id = p_campaign_id
    ON CONFLICT DO NOTHING;
    PERFORM FROM campaign_feedback WHERE campaign_id = p_campaign_id FOR NO KEY UPDATE;

    INSERT INTO recipient_firsts (recipient_id, what)
    SELECT DISTINCT e.recipient_id, counted_as(e.action, e.key, e.made_by)
      FROM campaign_recipients AS r JOIN recipient_events AS e ON e.recipient_id = r.id
     WHERE r.campaign_id = p_campaign_id
       AND counted_as(e.action, e.key, e.made_by) IN ('clicked_by_people', 'clicked_by_machines', 'bounced_softly')
    ON CONFLICT DO NOTHING;

    UPDATE campaign_feedback AS f
       SET delivered = n.delivered, without_feedback = least(f.without_feedback, n.delivered), bounced = n.bounced, bounced_softly = n.bounced_softly, withheld = n.withheld,
           complained = n.complained, rejected = n.rejected, opened_by_people = n.opened_by_people,
           opened_by_machines = n.opened_by_machines, opened_by_apple = n.opened_by_apple,
           clicked_by_people = n.clicked_by_people, clicked_by_machines = n.clicked_by_machines
      FROM (SELECT coalesce(sum(d.delivered), 0) AS delivered, coalesce(sum(d.bounced), 0) AS bounced,
                   coalesce(sum(d.bounced_softly), 0) AS bounced_softly, coalesce(sum(d.withheld), 0) AS withheld,
                   coalesce(sum(d.complained), 0) AS complained, coalesce(sum(d.rejected), 0) AS rejected,
                   coalesce(sum(d.opened_by_people), 0) AS opened_by_people,
                   coalesce(sum(d.opened_by_machines), 0) AS opened_by_machines,
                   coalesce(sum(d.opened_by_apple), 0) AS opened_by_apple,
                   coalesce(sum(d.clicked_by_people), 0) AS clicked_by_people,
                   coalesce(sum(d.clicked_by_machines), 0) AS clicked_by_machines
              FROM campaign_domain_results(p_campaign_id) AS d) AS n
     WHERE f.campaign_id = p_campaign_id;
END
$$;
