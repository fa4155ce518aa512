-- Tables of EspoCRM's shape: ids of 17 characters that nothing in the database makes, `deleted` instead of deletion, times
-- in UTC without a zone. EspoCRM itself has no foreign key; the one from `parent_id` is an administrator's.
CREATE TABLE contact (
    id         varchar(17) PRIMARY KEY,
    deleted    boolean DEFAULT false,
    first_name varchar(100) DEFAULT '',
    last_name  varchar(100) DEFAULT '',
    created_at timestamp(0) without time zone
);
CREATE TABLE email_address (
    id      varchar(17) PRIMARY KEY,
    name    varchar(255),
    deleted boolean DEFAULT false,
    lower   varchar(255),
    invalid boolean NOT NULL DEFAULT false,
    opt_out boolean NOT NULL DEFAULT false
);
CREATE TABLE entity_email_address (
    id               serial PRIMARY KEY,
    entity_id        varchar(17),
    email_address_id varchar(17),
    entity_type      varchar(100),
    "primary"        boolean NOT NULL DEFAULT false,
    deleted          boolean DEFAULT false
);
CREATE TABLE lead (
    id        varchar(17) PRIMARY KEY,
    deleted   boolean DEFAULT false,
    last_name varchar(100) DEFAULT ''
);
CREATE TABLE campaign (
    id      varchar(17) PRIMARY KEY,
    name    varchar(255),
    deleted boolean DEFAULT false,
    status  varchar(255) DEFAULT 'Planning',
    type    varchar(64) DEFAULT 'Email'
);
CREATE TABLE campaign_log_record (
    id                     varchar(17) NOT NULL PRIMARY KEY,
    deleted                boolean DEFAULT false,
    action                 varchar(50) NOT NULL,
    action_date            timestamp(0) without time zone NOT NULL,
    data                   text,
    string_data            varchar(100),
    string_additional_data varchar(100),
    application            varchar(36) NOT NULL DEFAULT 'Espo',
    created_at             timestamp(0) without time zone,
    is_test                boolean NOT NULL DEFAULT false,
    created_by_id          varchar(17),
    campaign_id            varchar(17) REFERENCES campaign (id),
    parent_id              varchar(17),
    parent_type            varchar(100),
    object_id              varchar(17),
    object_type            varchar(100),
    queue_item_id          varchar(17)
);
CREATE INDEX ON campaign_log_record (action_date, deleted);
CREATE INDEX ON campaign_log_record (action, deleted);
CREATE INDEX ON campaign_log_record (parent_id, parent_type);
