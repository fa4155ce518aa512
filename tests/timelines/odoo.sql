-- Tables of Odoo's shape: integer ids of sequences, times in UTC without a zone, defaults that Odoo's own code gives and
-- the table does not, and one row for each recipient of a mailing.
CREATE TABLE res_users (id serial PRIMARY KEY, login varchar NOT NULL);
CREATE TABLE res_partner (id serial PRIMARY KEY, name varchar, email varchar, email_normalized varchar, active boolean DEFAULT true);
CREATE TABLE mailing_contact (id serial PRIMARY KEY, name varchar, email varchar, email_normalized varchar);
CREATE TABLE mail_mail (id serial PRIMARY KEY, email_to text);
CREATE TABLE utm_campaign (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE mailing_mailing (
    id           serial PRIMARY KEY,
    subject      jsonb,
    state        varchar NOT NULL,
    campaign_id  integer REFERENCES utm_campaign (id) ON DELETE SET NULL
);
CREATE TABLE mailing_trace (
    id                   serial PRIMARY KEY,
    mail_mail_id         integer REFERENCES mail_mail (id) ON DELETE SET NULL,
    mail_mail_id_int     integer,
    res_id               integer,
    mass_mailing_id      integer REFERENCES mailing_mailing (id) ON DELETE CASCADE,
    campaign_id          integer REFERENCES utm_campaign (id) ON DELETE SET NULL,
    create_uid           integer REFERENCES res_users (id) ON DELETE SET NULL,
    write_uid            integer REFERENCES res_users (id) ON DELETE SET NULL,
    trace_type           varchar NOT NULL,
    is_test_trace        boolean,
    email                varchar,
    message_id           varchar,
    model                varchar NOT NULL,
    trace_status         varchar,
    failure_type         varchar,
    failure_reason       text,
    sent_datetime        timestamp without time zone,
    open_datetime        timestamp without time zone,
    reply_datetime       timestamp without time zone,
    links_click_datetime timestamp without time zone,
    create_date          timestamp without time zone,
    write_date           timestamp without time zone,
    CONSTRAINT mailing_trace_check_res_id_is_set CHECK (res_id IS NOT NULL AND res_id <> 0)
);
CREATE INDEX ON mailing_trace (mass_mailing_id);
