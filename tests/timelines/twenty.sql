-- Tables of Twenty's shape, as a workspace has them: quoted names in camelCase, ids with defaults, soft deletion, and a
-- timeline whose targets are foreign keys. Only what the timeline has to do with.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE SCHEMA core;
CREATE TABLE core.workspace (
    id               uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    "displayName"    varchar,
    "databaseSchema" varchar NOT NULL DEFAULT ''
);
INSERT INTO core.workspace (id, "displayName", "databaseSchema") VALUES
    ('00000000-0000-0000-0000-00000000000a', 'Orchard', 'workspace_3ix2c9fbm1r2h6z8kq5u4qis0'),
    ('00000000-0000-0000-0000-00000000000b', 'Harbour', 'workspace_9jj1w48f60br2q6wtz6trrdb6');

CREATE FUNCTION core.make_workspace(p_schema text) RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
    EXECUTE replace($sql$
        CREATE SCHEMA WORKSPACE;
        CREATE TYPE WORKSPACE."timelineActivity_createdBySource_enum" AS ENUM
            ('EMAIL', 'CALENDAR', 'WORKFLOW', 'AGENT', 'API', 'IMPORT', 'MANUAL', 'SYSTEM', 'WEBHOOK');
        CREATE TABLE WORKSPACE."workspaceMember" (
            id              uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
            "createdAt"     timestamptz NOT NULL DEFAULT now(),
            "updatedAt"     timestamptz NOT NULL DEFAULT now(),
            "deletedAt"     timestamptz,
            "nameFirstName" text NOT NULL DEFAULT '',
            "nameLastName"  text NOT NULL DEFAULT '',
            "userId"        uuid NOT NULL
        );
        CREATE TABLE WORKSPACE.person (
            id                    uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
            "createdAt"           timestamptz NOT NULL DEFAULT now(),
            "updatedAt"           timestamptz NOT NULL DEFAULT now(),
            "deletedAt"           timestamptz,
            "nameFirstName"       text NOT NULL DEFAULT '',
            "nameLastName"        text NOT NULL DEFAULT '',
            "emailsPrimaryEmail"  text NOT NULL DEFAULT '',
            "position"            double precision NOT NULL DEFAULT 0
        );
        CREATE TABLE WORKSPACE.company (
            id          uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
            name        text NOT NULL DEFAULT '',
            "deletedAt" timestamptz
        );
        CREATE TABLE WORKSPACE."timelineActivity" (
            id                            uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
            "createdAt"                   timestamptz NOT NULL DEFAULT now(),
            "updatedAt"                   timestamptz NOT NULL DEFAULT now(),
            "deletedAt"                   timestamptz,
            "createdBySource"             WORKSPACE."timelineActivity_createdBySource_enum" NOT NULL DEFAULT 'MANUAL',
            "createdByWorkspaceMemberId"  uuid,
            "createdByName"               text NOT NULL DEFAULT 'System',
            "createdByContext"            jsonb,
            "position"                    double precision NOT NULL DEFAULT 0,
            "happensAt"                   timestamptz NOT NULL DEFAULT now(),
            name                          text,
            properties                    jsonb,
            "linkedRecordCachedName"      text,
            "linkedRecordId"              uuid,
            "linkedObjectMetadataId"      uuid,
            action                        text,
            "sourceObjectMetadataId"      uuid,
            "workspaceMemberId"           uuid REFERENCES WORKSPACE."workspaceMember" (id) ON DELETE CASCADE,
            "targetPersonId"              uuid REFERENCES WORKSPACE.person (id) ON DELETE CASCADE,
            "targetCompanyId"             uuid REFERENCES WORKSPACE.company (id) ON DELETE CASCADE
        );
        CREATE INDEX ON WORKSPACE."timelineActivity" ("targetPersonId") WHERE "deletedAt" IS NULL;
    $sql$, 'WORKSPACE', p_schema);
END
$make$;
SELECT core.make_workspace("databaseSchema") FROM core.workspace;
