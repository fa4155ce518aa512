-- Where the peers in the design of `send-batch` have got to in each campaign.
CREATE TABLE peer_cursors (campaign_id uuid PRIMARY KEY, claimed_through bigint NOT NULL DEFAULT -1)
